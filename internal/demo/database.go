package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/replication"
	"pgwitness/scripts"
)

const (
	// name is what the slot and the publication are called, and the database on an offered server.
	name = "pgwitness_demo"
	// roles are those that scripts/demo.sql makes.
	roles = "demo_web, demo_billing, demo_desk, demo_import"
	// removal is what a person runs to clean up an offered server where the demo could not.
	removal = "DROP DATABASE " + name + " WITH (FORCE); DROP ROLE " + roles + ";"

	// yourTable is the table that the seed's trigger is for.
	yourTable = "CREATE TABLE your_table (id SERIAL PRIMARY KEY, column_name TEXT);"

	oldestVersion    = 140000
	lockNotAvailable = "55P03" // SQLSTATE

	connectTimeout = 10 * time.Second
	cleanupTimeout = 20 * time.Second
)

// database is where the demo plays.
type database struct {
	dsn     string // may hold a password
	version string
	// close removes the database. The consumer and all other connections should be gone.
	close func() error
}

// openEmbedded starts a server of the demo's own.
func openEmbedded(ctx context.Context, version int, progress func(received, total int64)) (*database, error) {
	// The server's own DSN says it all; PGOPTIONS, PGSERVICE and their like are meant for others.
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "PGWITNESS_") {
			if err := os.Unsetenv(name); err != nil {
				return nil, err
			}
		}
	}
	server, err := embeddedpg.Start(ctx, embeddedpg.Config{Version: version, Fsync: true, Progress: progress})
	if err != nil {
		return nil, err
	}
	db := &database{dsn: server.DSN("postgres"), close: server.Close}
	conn, err := db.connect(ctx, nil)
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	db.version = conn.PgConn().ParameterStatus("server_version")
	return db, conn.Close(ctx)
}

// openOffered makes a database on the server that dsn leads to.
func openOffered(ctx context.Context, dsn string) (_ *database, err error) {
	admin := &database{dsn: dsn}
	conn, err := admin.connect(ctx, nil)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && slices.Contains([]string{"28P01", "28000", "3D000"}, refused.Code):
		return nil, classed(ErrUsage, "--dsn: %w; check the user, the password and the database, and pg_hba.conf", err)
	case err != nil:
		return nil, fmt.Errorf("--dsn: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := checkOffered(ctx, conn); err != nil {
		return nil, err
	}
	// Interrupted, it would leave open whether there is something to remove.
	if _, err := conn.Exec(context.WithoutCancel(ctx),
		"CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"); err != nil {
		return nil, fmt.Errorf("make the demo's database: %w", err)
	}
	db := &database{version: conn.PgConn().ParameterStatus("server_version"), close: func() error { return clean(admin) }}
	if db.dsn, err = withDatabase(dsn, name); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// checkOffered says why the demo cannot play on a server.
func checkOffered(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var walLevel, left string
	var rights bool
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('wal_level'),
		(SELECT rolsuper OR rolcreatedb AND rolcreaterole AND rolreplication FROM pg_roles WHERE rolname = current_user),
		concat_ws(', ',
			(SELECT 'database ' || datname FROM pg_database WHERE datname = $1),
			(SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE slot_name = $1),
			(SELECT string_agg('role ' || rolname, ', ') FROM pg_roles WHERE rolname = ANY (string_to_array($2, ', '))))`,
		name, roles).Scan(&version, &walLevel, &rights, &left); err != nil {
		return fmt.Errorf("look around on the server: %w", err)
	}
	switch {
	case version < oldestVersion:
		return classed(ErrSetup, "the server is PostgreSQL %d; pgwitness needs %d or later", version/10000, oldestVersion/10000)
	case walLevel != "logical":
		return classed(ErrSetup, "wal_level is %s: set wal_level = logical in postgresql.conf and restart the server, or leave --dsn out "+
			"for a server of the demo's own", walLevel)
	case !rights:
		return classed(ErrSetup, "the user of --dsn may not make databases, roles and slots: connect as a superuser, or leave --dsn out for a "+
			"server of the demo's own")
	case left != "":
		return classed(ErrSetup, "%s is there already: another demo is running, or one was killed; in the latter case remove what it left: %s",
			left, removal)
	}
	return nil
}

// clean removes from an offered server what the demo made there.
func clean(admin *database) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("the demo's database could not be removed (%w): do it by hand: %s", err, removal)
		}
	}()
	conn, err := admin.connect(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	// The slot goes with the database if nobody uses it. The end of a killed consumer may not have come to the server's notice.
	if err := poll(ctx, func() (bool, error) {
		var idle bool
		err := conn.QueryRow(ctx, "SELECT count(pg_terminate_backend(active_pid)) = 0 FROM pg_replication_slots WHERE slot_name = $1", name).
			Scan(&idle)
		return idle, err
	}); err != nil {
		return err
	}
	for _, sql := range []string{
		"DROP DATABASE IF EXISTS " + name + " WITH (FORCE)",
		"DROP ROLE IF EXISTS " + roles,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// withDatabase returns dsn with another database.
func withDatabase(dsn, database string) (string, error) {
	if !strings.Contains(dsn, "://") {
		return dsn + " dbname=" + database, nil // of two, the latter counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", classed(ErrUsage, "--dsn: not a URL that another database can be put into: give it as keyword=value pairs")
	}
	u.Path = "/" + database
	query := u.Query()
	query.Del("dbname")
	query.Del("database")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// connect connects with settings, as the user of the DSN.
func (d *database) connect(ctx context.Context, settings map[string]string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(d.dsn)
	if err != nil {
		// pgx's own words would repeat the DSN.
		return nil, classed(ErrUsage, "the connection string, or a file that it names, changed while the demo began")
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	// What is confirmed is compared with what the server has flushed, so commits must be.
	cfg.RuntimeParams["synchronous_commit"] = "on"
	// A slot waits for all transactions that are under way on the server.
	cfg.RuntimeParams["lock_timeout"] = "10s"
	cfg.RuntimeParams["application_name"] = "pgwitness demo"
	maps.Copy(cfg.RuntimeParams, settings)
	return pgx.ConnectConfig(ctx, cfg)
}

// install makes the tables, the publication and the slot.
func install(ctx context.Context, conn *pgx.Conn) error {
	for _, step := range []struct{ what, sql string }{
		{"install the audit table", yourTable + "\n" + scripts.Seed},
		{"install the shop", scripts.Demo},
		// Before the slot: a publication that came later would not be known where the slot stands.
		{"make the publication", "CREATE PUBLICATION " + name + " FOR TABLE custom_audit_log"},
		{"make the slot", "SELECT pg_create_logical_replication_slot('" + name + "', 'pgoutput')"},
	} {
		_, err := conn.PgConn().Exec(ctx, step.sql).ReadAll()
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == lockNotAvailable {
			return classed(ErrSetup, "%s: a transaction has been open on the server for a while, and this must wait for its end: "+
				"see pg_stat_activity, and try again", step.what)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

const slotPoll = 5 * time.Millisecond

// errNoConsumer says that no consumer came to follow the slot.
var errNoConsumer = errors.New("the consumer, pgwitness run, has not come to follow the slot; what it said is above")

// awaitConsumer returns once a consumer is connected to the slot, and errNoConsumer when it takes longer than patience: by
// itself it tries for ever.
func awaitConsumer(ctx context.Context, conn *pgx.Conn, patience time.Duration) error {
	began := time.Now()
	return poll(ctx, func() (bool, error) {
		var active bool
		err := conn.QueryRow(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = $1", name).Scan(&active)
		if err == nil && !active && time.Since(began) > patience {
			err = errNoConsumer
		}
		return active, err
	})
}

// lag is how many bytes of WAL were not confirmed.
type lag struct {
	first int64 // when awaitConfirmed was called
	last  int64 // when it returned
}

// awaitConfirmed returns once everything in the WAL is confirmed, or nothing more has been for as long as patience.
func awaitConfirmed(ctx context.Context, conn *pgx.Conn, patience time.Duration) (lag, error) {
	var end string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&end); err != nil {
		return lag{}, err
	}
	found := lag{-1, -1}
	var moved time.Time
	err := poll(ctx, func() (bool, error) {
		var now int64
		err := conn.QueryRow(ctx, `SELECT greatest(0, pg_wal_lsn_diff($1::text::pg_lsn, confirmed_flush_lsn))::bigint
			FROM pg_replication_slots WHERE slot_name = $2`, end, name).Scan(&now)
		if err != nil {
			return false, err
		}
		if found.first < 0 {
			found.first = now
		}
		if now != found.last {
			found.last, moved = now, time.Now()
		}
		return now == 0 || time.Since(moved) > patience, nil
	})
	return found, err
}

// poll calls happened until it says yes.
func poll(ctx context.Context, happened func() (bool, error)) error {
	ticker := time.NewTicker(slotPoll)
	defer ticker.Stop()
	for {
		if yes, err := happened(); yes || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// consumerEnviron is the environment of a consumer that writes to a file and keeps its state beside it, in dir. No secret
// goes through its arguments.
func consumerEnviron(db *database, dir, file, listen string) []string {
	var environ []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PGWITNESS_") {
			environ = append(environ, variable)
		}
	}
	return append(environ,
		"PGWITNESS_SOURCE_DSN="+db.dsn,
		"PGWITNESS_SOURCE_NAME=shop",
		"PGWITNESS_SOURCE_SLOT="+name,
		"PGWITNESS_SOURCE_PUBLICATION="+name,
		"PGWITNESS_SINKS_0_TYPE=file",
		"PGWITNESS_SINKS_0_PATH="+file,
		"PGWITNESS_STATE_DIR="+dir,
		"PGWITNESS_HTTP_LISTEN="+listen,
		"PGWITNESS_HTTP_SHOW_EVENTS=true",
		"PGWITNESS_LOG_FORMAT=text",
	)
}

// oracle connects for a comparison: with the settings that give each value the text its digest is made of.
func (d *database) oracle(ctx context.Context) (*pgx.Conn, error) {
	return d.connect(ctx, replication.PinnedSettings())
}
