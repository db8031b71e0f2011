package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"pgwitness/decoder"
	"pgwitness/internal/checkpoint"
	"pgwitness/internal/config"
	"pgwitness/internal/feed"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
	"pgwitness/internal/retry"
	"pgwitness/internal/status"
	"pgwitness/internal/systemd"
	"pgwitness/internal/web"
	"pgwitness/sink/stdout"
)

func newRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Follow the audit table and deliver its rows until asked to stop",
		Long: `Follow the audit table and deliver its rows until asked to stop.

run never creates, changes or drops anything in the database: that is init's work. It
tries again for ever after whatever may heal, a lost connection or a full disk; it ends
with a clear error and an exit code where a person is needed.

SIGTERM and SIGINT let it finish the batch in hand, confirm it and leave with 0.`,
		Example: `  # Into a file, each event once, whatever happens
  pgwitness run --dsn postgres://pgwitness@db/shop --sink file:/var/lib/pgwitness/audit.jsonl

  # To standard output, for a look; stop where the WAL ends now
  pgwitness run --dsn service=shop --sink stdout --state-dir /tmp/pgwitness \
    --endpos "$(psql service=shop -Atc 'SELECT pg_current_wal_lsn()')"`,
		Args: noArgs,
	}
	load := addConfigFlags(cmd, runFlags)
	var endPos decoder.LSN
	cmd.Flags().TextVar(&endPos, "endpos", decoder.LSN(0), "leave with 0 once everything up to this `LSN`, inclusive, is confirmed")
	cmd.Flags().Lookup("endpos").DefValue = "" // 0/0 is never, not a position
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return runPipeline(cmd.Context(), cfg, endPos, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// runPipeline puts the parts together, from the database to the sinks, and runs them.
func runPipeline(ctx context.Context, cfg *config.Config, endPos decoder.LSN, out, errOut io.Writer) error {
	// A reader of standard output that leaves is the stdout sink's to tell, not a reason to die without a word.
	signal.Ignore(syscall.SIGPIPE)
	// The steady state allocates next to nothing, so an early collection costs nothing; what it is for is the row of 100 MB,
	// of which two copies in waiting are two too many. GOGC in the environment wins.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	log := newLogger(errOut, cfg.Log)
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	logStart(log, cfg)
	store, err := checkpoint.Open(cfg.StateDir, cfg.Source.Slot)
	if err != nil {
		return withCode(exitUsage, err)
	}
	build := readBuildInfo()
	var f *follower
	measured := metrics.New(metrics.Config{
		Sinks: sinkNames(cfg.Sinks), Version: build.Version, Commit: build.Commit, GoVersion: build.Go,
		Source: cfg.Source.Name, Slot: cfg.Source.Slot, Tables: cfg.Metrics.Tables, Users: cfg.Metrics.Users,
		Buffered:       func() (size, limit int) { return f.Buffered() }, // nobody scrapes before there is a stream
		StatusInterval: cfg.Source.StatusInterval,
	})
	meter := status.NewMeter(measured)
	var observer pipeline.Observer = meter
	var events *feed.Feed
	if cfg.HTTP.Listen != "" && cfg.HTTP.ShowEvents {
		events = feed.New(feed.Config{Next: meter})
		observer = events
	}
	standardOutput := stdout.New(stdout.Config{Writer: out})
	f, err = newFollower(log, func(resumed bool) (*tenure, error) {
		destinations, err := newSinks(cfg.Sinks, standardOutput, log)
		if err != nil {
			return nil, err
		}
		stream := replication.NewStream(replication.Config{
			ConnConfig:     cfg.Source.ConnConfig,
			Slot:           cfg.Source.Slot,
			Publication:    cfg.Source.Publication,
			Schema:         cfg.Source.Table.Schema,
			Table:          cfg.Source.Table.Name,
			Source:         cfg.Source.Name,
			Previous:       store.Load,
			Resumed:        resumed,
			Standbys:       cfg.Source.StandbyConfigs,
			EndPos:         endPos,
			BufferBytes:    int(cfg.Buffer.MaxBytes),
			StatusInterval: cfg.Source.StatusInterval,
			ReceiveTimeout: cfg.Source.ReceiveTimeout,
			Observer:       meter,
			Logger:         log,
		})
		return &tenure{stream: stream, pipeline: pipeline.New(pipeline.Config{
			Stream:       stream,
			Monitor:      replication.NewMonitor(stream, 0, measured),
			Destinations: destinations,
			Checkpoint:   store,
			Grace:        cfg.ShutdownGrace,
			Observer:     observer,
			Logger:       log,
		})}, nil
	})
	if err != nil {
		return err
	}
	now := func() status.Status {
		about := status.Config{Version: build.Version, Source: statusSource(cfg.Source), ShowsEvents: cfg.HTTP.ShowEvents}
		about.Buffer.Bytes, about.Buffer.Limit = f.Buffered()
		return meter.Status(about, measured.Snapshot(), f.Sinks())
	}
	notifier, err := systemd.New(systemd.Config{
		State: func() string { return unitState(now()) }, Healthy: measured.Healthy, Logger: log,
	})
	if err != nil {
		return withCode(exitUsage, err)
	}
	notify := func(running context.Context) error {
		notifier.Run(running, ctx.Done())
		return nil
	}
	run := func(ctx context.Context) error {
		if _, err := store.Load(); err != nil { // told at once, whether the database can be reached or not
			return withCode(exitEvidence, err)
		}
		return f.Run(ctx)
	}
	if cfg.HTTP.Listen == "" {
		return runBeside(ctx, run, notify)
	}
	server, err := web.Listen(web.Config{
		Listen: cfg.HTTP.Listen, WebConfig: cfg.HTTP.WebConfig, Pprof: cfg.HTTP.Pprof, Metrics: measured.Registry(), Healthy: measured.Healthy, Ready: measured.Ready, Logger: log,
		Events: events, Status: now,
	})
	if err != nil {
		return err
	}
	log.Info("serving /metrics, /healthz, /readyz and /status, and a page for browsers", "address", server.Addr().String())
	lingering := func(ctx context.Context) error {
		err := run(ctx)
		linger(ctx, err, cfg.HTTP.Linger, measured.Ended, log)
		return err
	}
	return runBeside(ctx, lingering, server.Run, notify)
}

// linger waits after a run that ended with err where a person is needed, so that the next scrape sees it; or until it is asked
// to stop.
func linger(ctx context.Context, err error, limit time.Duration, ended func(exitCode int), log *slog.Logger) {
	code := exitCode(err)
	if limit <= 0 || ctx.Err() != nil || code != exitSetup && code != exitEvidence {
		return
	}
	ended(code)
	log.Error("the run has ended; listening on so that it is seen", "exit_code", code, "for", limit.String(), "error", oneLine(err.Error()))
	_ = retry.Pause(ctx, limit) // either way it is over
}

// runBeside runs run and, beside it, what tells others of it and outlasts it: the last scrape sees the end. A listener that
// fails does not end the stream.
func runBeside(ctx context.Context, run func(context.Context) error, beside ...func(context.Context) error) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var told errgroup.Group
	for _, tell := range beside {
		told.Go(func() error { return tell(running) })
	}
	err := run(ctx)
	stop()
	return errors.Join(err, told.Wait())
}

// statusSource is what /status says of the configuration: names only.
func statusSource(s config.Source) status.Source {
	source := status.Source{Name: s.Name, Slot: s.Slot, Publication: s.Publication, Table: s.Table.String()}
	if conn, err := s.ConnConfig(); err == nil { // it may fail in the midst of a rotation; the stream tells of that
		source.Database = conn.Database
	}
	return source
}
