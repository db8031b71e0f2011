// Package setup makes a database ready for pgwitness: it looks at what is there, and prints or runs the statements that
// are missing for a role, a publication and a replication slot. What it makes passes the checks of package replication.
//
// It only adds. A slot or publication that is in the way is named, never dropped: both may be all that is left of
// undelivered rows.
package setup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/replication"
)

// Config says what is to be set up.
type Config struct {
	// ConnConfig is how the administrator connects to the audit table's database.
	ConnConfig *pgconn.Config
	// Schema and Table name the audit table; they and the other names are spelled as the catalog has them.
	Schema, Table string
	// Slot, Publication and Role are the names of what is made.
	Slot, Publication, Role string
	// Failover makes a slot that PostgreSQL 17 and later keep in step on standbys. Defaults to false.
	Failover bool
	// LockTimeout is how long a statement may wait for a lock, or the slot for a running transaction. Defaults to 5s.
	LockTimeout time.Duration
}

// Setup is a database that was looked at, and the steps it needs. It belongs to one goroutine.
type Setup struct {
	cfg     Config
	conn    *pgconn.PgConn
	server  *server
	catalog *catalog
	steps   []step

	countPatience time.Duration // how long counting the table's rows may take
}

// connectTimeout bounds dialling, authentication and the look at the catalog.
const connectTimeout = 30 * time.Second

// Open connects, looks at the database and works out the steps. The Setup must be closed. An error is a
// replication.ErrConfig if the server refuses the user, the password or the database; a replication.ErrSetup if something
// must be changed by hand first; a replication.ErrEvidence if the slot was invalidated; and otherwise one that may heal,
// such as a server that cannot be reached.
func Open(ctx context.Context, cfg Config) (*Setup, error) {
	if cfg.LockTimeout <= 0 {
		cfg.LockTimeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := dial(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, classifyDial(err)
	}
	s := &Setup{cfg: cfg, conn: conn, countPatience: countPatience}
	if err := s.look(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// look reads the catalog and plans anew.
func (s *Setup) look(ctx context.Context) (err error) {
	if s.server, err = readServer(ctx, s.conn); err != nil {
		return err
	}
	if err := s.server.check(); err != nil {
		return err
	}
	if s.catalog, err = readCatalog(ctx, s.conn, s.cfg); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	s.steps = plan(s.cfg, s.server, s.catalog)
	return nil
}

// Close closes the connection. It waits for its end, but not for long on one that is dead.
func (s *Setup) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // nothing was left to say
	select {
	case <-s.conn.CleanupDone(): // a statement that was interrupted is being cancelled on the server
	case <-ctx.Done():
	}
}

var errStandby = errors.New("the server is a standby")

// dial connects to the first host that is no standby.
func dial(ctx context.Context, cfg *pgconn.Config) (*pgconn.PgConn, error) {
	cfg = cfg.Copy()
	maps.Copy(cfg.RuntimeParams, map[string]string{
		"search_path":       "pg_catalog", // a function that a user made must not be taken for the server's
		"client_encoding":   "UTF8",
		"row_security":      "off", // a count of rows that a policy would cut short fails instead
		"statement_timeout": "0",   // making a slot takes as long as transactions run, within lock_timeout
	})
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			standby, err := queryText(ctx, conn, "SELECT pg_is_in_recovery()")
			if err == nil && standby == "t" {
				return errStandby
			}
			return err
		}
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

// queryText runs one statement and returns the first row's first column, or "" if there is none. An argument that is nil
// is null.
func queryText(ctx context.Context, conn *pgconn.PgConn, sql string, args ...[]byte) (string, error) {
	result := conn.ExecParams(ctx, sql, args, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) == 0 || len(result.Rows[0]) == 0 {
		return "", result.Err
	}
	return string(result.Rows[0][0]), nil
}

// refusal gives an error its class without adding the class's own word to the text.
type refusal struct {
	class error
	error
}

func (r *refusal) Unwrap() []error { return []error{r.class, r.error} }

func refuse(class error, format string, args ...any) error {
	return &refusal{class, fmt.Errorf(format, args...)}
}

func classifyDial(err error) error {
	var (
		pgErr     *pgconn.PgError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
	)
	switch {
	case errors.Is(err, errStandby):
		return refuse(replication.ErrSetup, "%w; connect to the primary, or name all hosts in source.dsn", err)
	case errors.As(err, &verify), errors.As(err, &authority), strings.Contains(err.Error(), "server refused TLS connection"):
		return refuse(replication.ErrConfig, "%w; check sslmode and sslrootcert of source.dsn", err)
	case !errors.As(err, &pgErr):
		return fmt.Errorf("cannot reach the server: %w", err)
	}
	switch pgErr.Code {
	case "28P01", "28000", "3D000": // the password, the user or pg_hba.conf, the database
		return refuse(replication.ErrConfig, "%w; check the user, the password, the database of source.dsn, and pg_hba.conf", err)
	case "42704", "22023": // a setting that the server does not know, or not with this value
		return refuse(replication.ErrConfig, "%w; check the keywords of source.dsn and PGOPTIONS: one that libpq does not know is taken "+
			"for a setting of the server", err)
	case codeInsufficientRights:
		return refuse(replication.ErrSetup, "%w; connect as an administrator of the database", err)
	}
	return err
}
