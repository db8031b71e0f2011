package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"pgwitness/internal/audit"
)

func newAuditInstallCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Make an audit table that an auditor accepts, and what writes into it",
		Long: `Make an audit table partitioned by month and append-only, and the trigger functions that
write into it: for any table, with old and new images, and with who did it.

An unpartitioned audit table that is there becomes custom_audit_log_old, with its rows.
Its trigger functions write into the new table then, whose numbers go on from the old
one's, and which joins its publications: a running pgwitness goes on without a gap.
Views and the like are in the way, and are named.

It takes a superuser, and for a moment a lock on the audited tables and the audit table.
A second run finds nothing to do, or puts right what was altered.

--undo takes all triggers of pgwitness off the tables, and brings the old table back with
what wrote into it. No row is lost: an installed table that has rows stays beside it.`,
		Example: `  # Look at the SQL, then run it
  pgwitness audit install --dsn postgres://postgres@db/shop
  pgwitness audit install --dsn postgres://postgres@db/shop --apply`,
		Args: noArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var (
		o         auditOptions
		functions []string
		undo      bool
	)
	o.add(cmd)
	addFunctionFlag(cmd, &functions)
	cmd.Flags().BoolVar(&undo, "undo", false, "bring back what was there before")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkFunctions(functions, undo); err != nil {
			return withCode(exitUsage, err)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		return o.run(cmd.Context(), cfg, cmd.OutOrStdout(), func(ctx context.Context, d *audit.Database) (audit.Script, error) {
			if undo {
				return d.Uninstall(ctx)
			}
			return d.Install(ctx, functions)
		})
	}
	return cmd
}

func addFunctionFlag(cmd *cobra.Command, functions *[]string) {
	cmd.Flags().StringSliceVar(functions, "function", nil, "a trigger function that writes into the old table, `NAME` or SCHEMA.NAME (repeatable; default custom_audit_trigger_function)")
}

func checkFunctions(functions []string, undo bool) error {
	if undo && len(functions) > 0 {
		return errors.New("--undo brings back every function that was mended: give it without --function")
	}
	if slices.Contains(functions, "") {
		return errors.New("--function: want a name")
	}
	return nil
}
