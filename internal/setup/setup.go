// Package setup makes a database ready for pgwitness: it looks at what is there, and prints or runs the statements that
// are missing for a role, a publication and a replication slot. What it makes passes the checks of package replication.
//
// It only adds. A slot or publication that is in the way is named, never dropped: both may be all that is left of
// undelivered rows.
package setup

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/admin"
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
	conn    *admin.Conn
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
	conn, err := admin.Connect(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, err
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

// Close closes the connection.
func (s *Setup) Close() { s.conn.Close() }
