package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"pgwitness/internal/audit"
	"pgwitness/internal/config"
)

func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Mend, install and look after the audit table and its triggers",
		Long: `Look after the audit table itself. Every command prints its SQL, which psql can run;
--apply runs it, in one transaction. None but retention ever deletes an audit row.`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newAuditAttachCommand(),
		newAuditCoverageCommand(),
		newAuditDetachCommand(),
		newAuditEventsCommand(),
		newAuditHardenCommand(),
		newAuditInstallCommand(),
		newAuditRetentionCommand(),
	)
	return cmd
}

// auditOptions are what all commands under audit that change something take.
type auditOptions struct {
	apply       bool
	lockTimeout time.Duration
}

func (o *auditOptions) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.apply, "apply", false, "run the SQL instead of printing it")
	cmd.Flags().DurationVar(&o.lockTimeout, "lock-timeout", 5*time.Second, "wait at most this `DURATION` for a lock")
}

// run connects to the database that cfg names and prints the script that plan makes, or applies it.
func (o *auditOptions) run(ctx context.Context, cfg *config.Config, out io.Writer, plan func(context.Context, *audit.Database) (audit.Script, error)) error {
	if o.lockTimeout < time.Millisecond {
		return withCode(exitUsage, errors.New("--lock-timeout: want at least 1ms: writers would have to wait as long as we do"))
	}
	database, err := openAudit(ctx, cfg, o.lockTimeout)
	if err != nil {
		return err
	}
	defer database.Close()
	script, err := plan(ctx, database)
	if err != nil {
		return err
	}
	if !o.apply {
		return database.Print(out, script)
	}
	return database.Apply(ctx, out, script)
}

func openAudit(ctx context.Context, cfg *config.Config, lockTimeout time.Duration) (*audit.Database, error) {
	connection, err := cfg.Source.ConnConfig()
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	return audit.Open(ctx, audit.Config{
		ConnConfig:  connection,
		Schema:      cfg.Source.Table.Schema,
		Table:       cfg.Source.Table.Name,
		LockTimeout: lockTimeout,
	})
}
