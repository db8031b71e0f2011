package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"pgwitness/internal/admin"
	"pgwitness/internal/config"
	"pgwitness/internal/setup"
)

// initOptions are init's own flags.
type initOptions struct {
	apply       bool
	role        string
	lockTimeout time.Duration
	failover    bool
}

func newInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Print the SQL that sets up role, publication and slot, or run it",
		Long: `Print the SQL that sets up role, publication and slot, or run it with --apply.

init connects as an administrator, looks at what is there, and explains each statement
that is missing. A second run finds nothing to do. It drops nothing, ever.

The publication has the operations that the audit table can bear: updates and deletes
only where UPDATE and DELETE cannot fail by being published, which takes a replica
identity, such as a primary key.

--apply takes a superuser, or a user with CREATEROLE and REPLICATION who owns the table
and has CREATE on the database. On Amazon RDS and Aurora, GRANT rds_replication stands
for REPLICATION; init sees to that by itself.`,
		Example: `  # Look at the SQL, then run it
  pgwitness init --dsn postgres://postgres@db/shop
  pgwitness init --dsn postgres://postgres@db/shop --apply

  # Have somebody else run it
  pgwitness init --dsn service=shop --table audit.log > init.sql
  psql -f init.sql service=shop`,
		Args: noArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var o initOptions
	flags := cmd.Flags()
	flags.BoolVar(&o.apply, "apply", false, "run the SQL instead of printing it")
	flags.StringVar(&o.role, "role", "pgwitness", "the role that run connects as, made if need be: its `NAME`")
	flags.DurationVar(&o.lockTimeout, "lock-timeout", 5*time.Second, "wait at most this `DURATION` for a lock, or for a running transaction to end")
	flags.BoolVar(&o.failover, "failover", false, "make a slot that outlives a failover to a standby (PostgreSQL 17 and later)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return withCode(exitUsage, err)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		log := newLogger(cmd.ErrOrStderr(), cfg.Log)
		for _, warning := range cfg.Warnings {
			log.Warn(warning)
		}
		err = initialize(cmd.Context(), cfg.Source, o, cmd.OutOrStdout())
		if err != nil && cmd.Context().Err() != nil {
			// Not the success that a stream's end on a signal is: something may be missing.
			return errors.New("interrupted; what was made stays, and init can be run again")
		}
		return err
	}
	return cmd
}

// reservedRole matches the names that PostgreSQL keeps for itself.
var reservedRole = regexp.MustCompile(`^(pg_.*|public|none)$`)

func (o initOptions) check() error {
	const maxNameBytes = 63 // PostgreSQL cuts longer names
	switch {
	case o.role == "" || len(o.role) > maxNameBytes || strings.ContainsRune(o.role, 0):
		return errors.New("--role: want a name of 1 to 63 bytes")
	case reservedRole.MatchString(o.role):
		return fmt.Errorf("--role: PostgreSQL reserves the name %s: choose another", o.role)
	case o.lockTimeout < time.Millisecond:
		return errors.New("--lock-timeout: want at least 1ms: without an end, the slot might wait for ever")
	}
	return nil
}

// initialize sets up the database that source names, or prints how.
func initialize(ctx context.Context, source config.Source, o initOptions, out io.Writer) error {
	connection, err := source.ConnConfig()
	if err != nil {
		return withCode(exitUsage, err)
	}
	s, err := setup.Open(ctx, setup.Config{
		ConnConfig:  connection,
		Schema:      source.Table.Schema,
		Table:       source.Table.Name,
		Slot:        source.Slot,
		Publication: source.Publication,
		Role:        o.role,
		Failover:    o.failover,
		LockTimeout: o.lockTimeout,
	})
	if err != nil {
		return err
	}
	defer s.Close()
	if !o.apply {
		return s.WriteScript(ctx, out)
	}
	changed, err := s.Apply(ctx, out)
	if err != nil {
		return err
	}
	summary := "Everything was there already; nothing was changed."
	if changed {
		summary = "Done."
	}
	_, err = fmt.Fprintf(out, "\n%s Follow the table with:\n\n  %s\n\n"+
		"The role's password belongs in ~/.pgpass, in PGPASSWORD, or in a file that PGWITNESS_SOURCE_PASSWORD_FILE names.\n",
		summary, runLine(connection, source, o.role))
	return err
}

// runLine is the command that follows what was set up. The settings of TLS are not part of a parsed configuration, so it
// leaves them to who uses it.
func runLine(connection *pgconn.Config, source config.Source, role string) string {
	dsn := url.URL{Scheme: "postgres", User: url.User(role), Path: "/" + connection.Database}
	if connection.Database == "" {
		dsn.Path = "/" + connection.User // the server's own default
	}
	port := strconv.Itoa(int(connection.Port))
	if path.IsAbs(connection.Host) { // of a Unix socket
		dsn.RawQuery = url.Values{"host": {connection.Host}, "port": {port}}.Encode()
	} else {
		hosts := []string{net.JoinHostPort(connection.Host, port)}
		for _, f := range connection.Fallbacks { // each host comes twice where TLS is optional
			if host := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
		dsn.Host = strings.Join(hosts, ",")
	}
	args := []string{"--dsn", dsn.String()}
	defaults := config.Default().Source
	if source.Table != defaults.Table {
		args = append(args, "--table", source.Table.String())
	}
	if source.Slot != defaults.Slot {
		args = append(args, "--slot", source.Slot)
	}
	if source.Publication != defaults.Publication {
		args = append(args, "--publication", source.Publication)
	}
	args = append(args, "--sink", "file:audit.jsonl")
	for i, arg := range args {
		args[i] = admin.QuoteShell(arg)
	}
	return "pgwitness run " + strings.Join(args, " ")
}
