package main

import (
	"errors"

	"github.com/spf13/cobra"

	"pgwitness/internal/config"
	"pgwitness/internal/demo"
)

func newDemoCommand() *cobra.Command {
	cfg := demo.Config{Rate: demo.DefaultRate}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on a PostgreSQL of its own, with proof; nothing to install",
		Long: `Show pgwitness at work, on a PostgreSQL of its own.

demo fetches a PostgreSQL (once; it says where it keeps it), installs an audit table and a
shop whose tables write to it, and lets a real pgwitness run deliver what the shop does.
At the end it compares what was delivered with what the table holds, row by row, and leaves
with 0 if they are the same and with 5 if not. It leaves no process, no database and no
directory behind, however it ends.

On a terminal events are shown as readable lines; piped, they are plain JSON, one event a
line, and everything else goes to standard error.`,
		Example: `  # For half a minute
  pgwitness demo --for 30s

  # Kill the consumer every second (SIGKILL) and see that nothing is lost
  pgwitness demo --for 30s --kill

  # On a server of yours, in a database of the demo's own
  pgwitness demo --dsn postgres://postgres@localhost`,
		Args: noArgs,
	}
	flags := cmd.Flags()
	flags.DurationVar(&cfg.For, "for", 0, "close the shop after this `DURATION`, such as 30s (default: at Ctrl-C)")
	flags.IntVar(&cfg.Rate, "rate", cfg.Rate, "audited `ROWS` a second; 0 is as many as the machine can")
	flags.BoolVar(&cfg.Kill, "kill", false, "kill the consumer with SIGKILL every second")
	flags.StringVar(&cfg.DSN, "dsn", "", "play on the server at `DSN`, as an administrator, instead of one of the demo's own")
	flags.IntVar(&cfg.Postgres, "postgres", 0, "the major `VERSION` of the demo's own server, 14 to 18 (default 17)")
	flags.StringVar(&cfg.Listen, "listen", "", `serve the consumer's metrics at this `+"`ADDRESS`"+`, or "off" (default: a free port on 127.0.0.1)`)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := refuseSecrets([]config.Flag{{Name: "--dsn", Key: "source.dsn", Value: cfg.DSN}}); err != nil {
			return err
		}
		return demoCode(demo.Run(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr()))
	}
	return cmd
}

// newStageCommand is the process that demo starts and that owns all it makes.
func newStageCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "stage",
		Hidden: true,
		Short:  "The part of demo that outlives its terminal, to clear up",
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demoCode(demo.RunStage(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
}

// demoCode gives an error of the demo's the exit code it ends the process with.
func demoCode(err error) error {
	var ended *demo.Ended
	var consumer *demo.ConsumerError
	switch {
	case errors.As(err, &ended):
		return withCode(ended.Code, errTold)
	case errors.As(err, &consumer) && consumer.Code > 0:
		return withCode(consumer.Code, err)
	case errors.Is(err, demo.ErrDifferences):
		return withCode(exitDifferences, err)
	case errors.Is(err, demo.ErrSetup):
		return withCode(exitSetup, err)
	case errors.Is(err, demo.ErrUsage):
		return withCode(exitUsage, err)
	}
	return err
}
