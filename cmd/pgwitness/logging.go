package main

import (
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/lmittmann/tint"

	"pgwitness/internal/config"
	"pgwitness/internal/terminal"
)

// newLogger returns the log that c asks for, written to w. The format auto is text if w is a terminal, and JSON if not. Text
// for a person at a terminal is laid out for the eye; elsewhere it is what slog's own handler makes, which programs can parse.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	screen := terminal.New(w)
	seen := screen.Columns != nil
	switch {
	case seen && c.Format != config.LogJSON:
		return slog.New(newScreenHandler(screen, c.Level))
	case c.Format == config.LogText:
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: c.Level}))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.Level}))
}

// newScreenHandler is what a person reads: the time that the person's clock shows, and errors in red. What a server or a file
// system says passes no escape sequence on to the terminal.
func newScreenHandler(screen terminal.Terminal, level slog.Level) slog.Handler {
	const brightRed = 9
	return tint.NewTextHandler(screen, &tint.Options{
		Level: level, TimeFormat: time.DateTime, NoColor: !screen.Colours,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			err, failed := a.Value.Any().(error)
			switch {
			case failed:
				return tint.Attr(brightRed, slog.String(a.Key, terminal.Clean(err.Error())))
			case a.Value.Kind() == slog.KindString:
				a.Value = slog.StringValue(terminal.Clean(a.Value.String()))
			}
			return a
		},
	})
}

// logStart tells what begins, in names only, and which sinks do not get everything.
func logStart(log *slog.Logger, cfg *config.Config) {
	log.Info("starting: connecting to the database", "version", readBuildInfo().Version, "source", cfg.Source.Name,
		"table", cfg.Source.Table.String(), "slot", cfg.Source.Slot, "sinks", strings.Join(sinkNames(cfg.Sinks), ","))
	for _, s := range cfg.Sinks {
		if s.Filtered() {
			log.Info("the sink has a filter: it will not hold everything", "sink", s.Name)
		}
	}
}
