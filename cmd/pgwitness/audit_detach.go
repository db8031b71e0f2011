package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"pgwitness/internal/audit"
)

func newAuditDetachCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "detach SCHEMA.TABLE...",
		Short: "Audit tables no longer: take the triggers off",
		Long: `Audit tables no longer: take the triggers off, and forget that the tables were attached, so
that coverage does not miss them. The audit rows stay. --table names the audit table.`,
		Example: `  pgwitness audit detach public.orders
  pgwitness audit detach public.orders --apply`,
		Args: cobra.ArbitraryArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var o auditOptions
	o.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		tables, err := tableArguments(args)
		if err == nil && len(tables) == 0 {
			err = errors.New("no table: give SCHEMA.TABLE")
		}
		if err != nil {
			return withCode(exitUsage, err)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		return o.run(cmd.Context(), cfg, cmd.OutOrStdout(), func(ctx context.Context, d *audit.Database) (audit.Script, error) {
			return d.Detach(ctx, tables)
		})
	}
	return cmd
}
