package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"pgwitness/internal/audit"
)

func newAuditHardenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "harden",
		Short: "Mend the audit table that is there, and what writes into it",
		Long: `Mend the audit table in place: no name is too long for it, a time has a zone, and it is
append-only. Its trigger functions capture any table, with old and new images and with who
did it; their triggers fire always, and TRUNCATE is audited. Old rows stay as they are.

The table is not rewritten, unless --rewrite allows it: for a bigint id, and for times
that were written in another zone than UTC. The size and the time that it takes are told
first.

It takes a superuser, and for a moment a lock on the audited tables and the audit table.
A second run finds nothing to do, or puts right what was altered.

--undo brings back what wrote into the table before, and everybody's rights.`,
		Example: `  # Look at the SQL, then run it
  pgwitness audit harden --dsn postgres://postgres@db/shop
  pgwitness audit harden --dsn postgres://postgres@db/shop --apply

  # In a quiet hour
  pgwitness audit harden --rewrite --time-zone Europe/Berlin --apply`,
		Args: noArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var (
		o      auditOptions
		harden audit.Harden
		undo   bool
	)
	o.add(cmd)
	addFunctionFlag(cmd, &harden.Functions)
	cmd.Flags().BoolVar(&harden.Rewrite, "rewrite", false, "allow what writes the whole table anew, such as a bigint id")
	cmd.Flags().StringVar(&harden.TimeZone, "time-zone", "", "the `ZONE` in which a zone-less event_timestamp was written (default the server's, if that is UTC)")
	cmd.Flags().BoolVar(&undo, "undo", false, "bring back what was there before")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkFunctions(harden.Functions, undo); err != nil {
			return withCode(exitUsage, err)
		}
		if undo && (harden.Rewrite || harden.TimeZone != "") {
			return withCode(exitUsage, errors.New("--undo leaves types as they are: give it without --rewrite and --time-zone"))
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		return o.run(cmd.Context(), cfg, cmd.OutOrStdout(), func(ctx context.Context, d *audit.Database) (audit.Script, error) {
			if undo {
				return d.Unharden(ctx)
			}
			return d.Harden(ctx, harden)
		})
	}
	return cmd
}
