package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"pgwitness/internal/config"
	"pgwitness/internal/doctor"
	"pgwitness/internal/terminal"
)

func newDoctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine set-up, capture, security, performance and retention",
		Long: `Examine set-up, capture, security, performance and retention, and say of each finding
why it matters and what mends it.

doctor only reads, in read-only transactions that take five seconds at most. Any role
will do, the one that run connects as included; what a role may not see is told as
unknown, not guessed. It asks the catalog, and of the audit table the first and the
last row; nothing of a row is shown.

It leaves with 3 if run could not start with what is there, with 5 if anything else has
to be mended, and otherwise with 0: warnings do not count. With --json each check has an
id that stays: docs/DOCTOR.md lists them.`,
		Example: `  # As an administrator, who sees everything
  pgwitness doctor --dsn postgres://postgres@db/shop

  # As the role that streams, from cron: only what has to be mended
  pgwitness doctor -c /etc/pgwitness.yaml --json | jq '.checks[] | select(.status == "problem")'`,
		Args: noArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var (
		asJSON bool
		role   string
	)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().StringVar(&role, "role", "", "the role that run connects as: its `NAME` (default: who streams now, or pgwitness)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return examine(cmd.Context(), cfg.Source, role, asJSON, cmd.OutOrStdout())
	}
	return cmd
}

// examine writes what doctor finds to out. It fails if something has to be mended.
func examine(ctx context.Context, source config.Source, role string, asJSON bool, out io.Writer) error {
	connection, err := source.ConnConfig()
	if err != nil {
		return withCode(exitUsage, err)
	}
	report, err := doctor.Examine(ctx, doctor.Config{
		ConnConfig:  connection,
		Schema:      source.Table.Schema,
		Table:       source.Table.Name,
		Slot:        source.Slot,
		Publication: source.Publication,
		Role:        role,
		Version:     readBuildInfo().Version,
	})
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.WriteTable(terminal.New(out))
	}
	if err != nil {
		return err
	}
	switch setup, others := report.Problems(); {
	case setup > 0:
		return withCode(exitSetup, fmt.Errorf("run cannot start: problems of the set-up in database %s: %d", report.Database, setup))
	case others > 0:
		return withCode(exitDifferences, fmt.Errorf("problems found in database %s: %d", report.Database, others))
	}
	return nil
}
