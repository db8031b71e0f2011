// Package admin is how the commands that a person runs once talk to the database: as an administrator, with a search path
// that nobody can bend, and with errors that say what to do.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Conn is a connection to the primary. It belongs to one goroutine.
type Conn struct{ *pgconn.PgConn }

// ErrStandby is why no host of a DSN was connected to: each is a standby.
var ErrStandby = errors.New("the server is a standby")

// Connect connects to the first host of cfg that is no standby. The Conn must be closed. An error is a
// replication.ErrConfig if the server refuses the user, the password or the database; a replication.ErrSetup if something
// must be changed by hand first; and otherwise one that may heal, such as a server that cannot be reached.
func Connect(ctx context.Context, cfg *pgconn.Config) (*Conn, error) {
	cfg = cfg.Copy()
	maps.Copy(cfg.RuntimeParams, map[string]string{
		"search_path":       "pg_catalog", // a function that a user made must not be taken for the server's
		"client_encoding":   "UTF8",
		"row_security":      "off", // a count of rows that a policy would cut short fails instead
		"statement_timeout": "0",   // making a slot takes as long as transactions run, within lock_timeout
	})
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "pgwitness"
	}
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			standby, err := (&Conn{conn}).Text(ctx, "SELECT pg_is_in_recovery()")
			if err == nil && standby == "t" {
				return ErrStandby
			}
			return err
		}
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, classify(err)
	}
	return &Conn{conn}, nil
}

// Close closes the connection. It waits for its end, but not for long on one that is dead.
func (c *Conn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.PgConn.Close(ctx) // nothing was left to say
	select {
	case <-c.CleanupDone(): // a statement that was interrupted is being cancelled on the server
	case <-ctx.Done():
	}
}

// Text runs one statement and returns the first row's first column, or "" if there is none. An argument that is nil is
// null.
func (c *Conn) Text(ctx context.Context, sql string, args ...[]byte) (string, error) {
	result := c.ExecParams(ctx, sql, args, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) == 0 || len(result.Rows[0]) == 0 {
		return "", result.Err
	}
	return string(result.Rows[0][0]), nil
}

// JSON runs a query that gives one JSON document, and reads it into target.
func (c *Conn) JSON(ctx context.Context, target any, sql string, args ...[]byte) error {
	text, err := c.Text(ctx, sql, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), target)
}

// Script runs statements by the simple protocol and returns the first column of the last one's first row, or "". Without a
// BEGIN in it, they are one transaction.
func (c *Conn) Script(ctx context.Context, sql string) (string, error) {
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return "", err
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 || len(last.Rows[0]) == 0 {
		return "", nil
	}
	return string(last.Rows[0][0]), nil
}
