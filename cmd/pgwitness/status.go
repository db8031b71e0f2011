package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pgwitness/internal/status"
	"pgwitness/internal/terminal"
	"pgwitness/internal/webclient"
)

// pipedWidth is that of what nobody sees as it is written.
const pipedWidth = 100

func newStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what a running pgwitness does, what is wrong and what to do",
		Long: `Say what a running pgwitness does, what is wrong and what to do.

` + clientHelp + `

It leaves with 0 if nothing critical is wrong, with 5 if something is, and with 1 if
pgwitness cannot be reached. With --watch it goes on until Ctrl-C, and leaves with 0.`,
		Example: `  # Of the pgwitness on this machine
  pgwitness status

  # Of another one, again every two seconds
  pgwitness status --url https://db1.example.com:9717 --ca-file ca.pem --watch

  # For a script: what is wrong, gravest first
  pgwitness status --json | jq -r '.problems[] | .severity + ": " + .what'`,
		Args: noArgs,
	}
	reach := addClientFlags(cmd)
	var asJSON bool
	var every time.Duration
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the body of /status; with --watch one line each time")
	const usual = 2 * time.Second
	cmd.Flags().DurationVar(&every, "watch", 0, "say it again, each `INTERVAL` (2s without a value)")
	cmd.Flags().Lookup("watch").NoOptDefVal = usual.String()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		const fastest = 100 * time.Millisecond
		if cmd.Flags().Changed("watch") && every < fastest {
			return withCode(exitUsage, fmt.Errorf("--watch: want %s or more", fastest))
		}
		client, err := reach.client()
		if err != nil {
			return err
		}
		defer client.Close()
		view := statusView{client: client, out: terminal.New(cmd.OutOrStdout()), json: asJSON}
		if every > 0 {
			return view.watch(cmd.Context(), every)
		}
		return view.once(cmd.Context())
	}
	return cmd
}

// statusView shows the status of one pgwitness.
type statusView struct {
	client *webclient.Client
	out    terminal.Terminal
	json   bool
}

// once shows it once. Its error has the code for something critical, which has been shown.
func (v *statusView) once(ctx context.Context) error {
	now, body, err := v.client.Status(ctx)
	if err != nil {
		return err
	}
	text := body
	if !v.json {
		text = []byte(renderStatus(now, v.client.String(), v.out.Width(pipedWidth), v.out.Colours))
	}
	if _, err := v.out.Write(text); err != nil {
		return err
	}
	if now.Worst() == status.Critical {
		return withCode(exitDifferences, errTold)
	}
	return nil
}

// watch shows it again and again until ctx is done.
func (v *statusView) watch(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		frame, err := v.frame(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := v.out.Write([]byte(frame)); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// frame is what is shown this time. A pgwitness that cannot be reached may be again the next time.
func (v *statusView) frame(ctx context.Context) (string, error) {
	now, body, err := v.client.Status(ctx)
	switch {
	case err != nil && !errors.Is(err, webclient.ErrUnreachable):
		return "", err
	case v.json && err != nil:
		line, err := json.Marshal(map[string]string{"error": err.Error()})
		return string(line) + "\n", err
	case v.json:
		var line bytes.Buffer
		err := json.Compact(&line, body)
		return line.String() + "\n", err
	}
	width := v.out.Width(pipedWidth)
	var text string
	if err != nil {
		s := screen{width: width, colours: v.out.Colours}
		s.row(label{"UNKNOWN", terminal.Red}, item{text: err.Error()})
		text = s.String()
	} else {
		text = renderStatus(now, v.client.String(), width, v.out.Colours)
	}
	text = time.Now().Format(time.TimeOnly) + "\n\n" + text
	if v.out.Columns == nil {
		return text + "\n", nil
	}
	return redraw(text, v.out.Rows()), nil
}

// redraw is text over what a terminal of so many rows shows: line by line, since clearing it all first would flicker. A text
// that is longer would scroll, and is cut.
func redraw(text string, rows int) string {
	const home, clearLine, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if rows > 1 && len(lines) > rows-1 {
		lines = append(lines[:rows-2], "…")
	}
	var frame strings.Builder
	frame.WriteString(home)
	for _, line := range lines {
		frame.WriteString(line + clearLine + "\n")
	}
	frame.WriteString(clearBelow)
	return frame.String()
}
