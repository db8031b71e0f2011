package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"pgwitness/internal/audit"
)

func newAuditEventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Audit DDL, GRANT and REVOKE too, and logins",
		Long: `Put on event triggers that write into the audit table what else is done in its database:
DDL, GRANT, REVOKE and ALTER TABLE … DISABLE TRIGGER, an audit row an object, whose
event_type is the command; with --login, from PostgreSQL 17, logins. It takes a superuser.

A row has the statement too, unless what the client sent may hold a secret or handles data.
PostgreSQL tells event triggers nothing of what all databases share: roles and their
memberships, databases, tablespaces, ALTER SYSTEM; nor of event triggers themselves and
REASSIGN OWNED.

An error in the triggers for DDL aborts the command. A superuser gets out by
ALTER EVENT TRIGGER pgwitness_ddl DISABLE, and so for pgwitness_drop.
The trigger for logins keeps nobody out: an error in it is a line in the server's log.`,
		Example: `  # Look at the SQL, then run it
  pgwitness audit events --dsn postgres://postgres@db/shop
  pgwitness audit events --dsn postgres://postgres@db/shop --apply

  # Logins alone
  pgwitness audit events --ddl=false --login --apply

  # Take all of it off; the audit rows stay
  pgwitness audit events --undo --apply`,
		Args: noArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var (
		o      auditOptions
		events audit.Events
		undo   bool
	)
	o.add(cmd)
	cmd.Flags().BoolVar(&events.DDL, "ddl", true, "audit DDL, GRANT and REVOKE")
	cmd.Flags().BoolVar(&events.Login, "login", false, "audit logins (PostgreSQL 17 and later)")
	cmd.Flags().BoolVar(&undo, "undo", false, "take the event triggers off")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case undo && (cmd.Flags().Changed("ddl") || cmd.Flags().Changed("login")):
			return withCode(exitUsage, errors.New("--undo takes off all event triggers: give it without --ddl and --login"))
		case !undo && !events.DDL && !events.Login:
			return withCode(exitUsage, errors.New("nothing to audit: give --ddl, --login or both, or --undo to take the event triggers off"))
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		return o.run(cmd.Context(), cfg, cmd.OutOrStdout(), func(ctx context.Context, d *audit.Database) (audit.Script, error) {
			if undo {
				return d.RemoveEvents(ctx)
			}
			return d.Events(ctx, events)
		})
	}
	return cmd
}
