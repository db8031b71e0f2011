// Package doctor examines a database that pgwitness follows, or is to follow: whether it can, and what is wrong with the
// capture, the security, the performance and the retention of the audit table. It only reads, as whatever role it is given,
// and says of each check that the role cannot make that it cannot.
package doctor

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/admin"
)

// Config says what is to be examined.
type Config struct {
	// ConnConfig is how to connect to the audit table's database, as any role.
	ConnConfig *pgconn.Config
	// Schema and Table name the audit table; they and the other names are spelled as the catalog has them.
	Schema, Table string
	// Slot and Publication are the names of what `pgwitness init` made.
	Slot, Publication string
	// Role is the one that `pgwitness run` connects as. Defaults to the one that streams from the slot now, or else to the
	// one that is connected if it may do no more than replicate, or else to pgwitness.
	Role string
	// Version is pgwitness's own, for the report.
	Version string
}

// connectTimeout bounds dialling and authentication; statementTimeout what a check may cost the server.
const (
	connectTimeout   = 30 * time.Second
	statementTimeout = "5s"
)

// Examine connects, makes every check and returns what came out, in the order of the areas. What is found is no error.
// Errors are those of admin.Connect, for a server that cannot be asked.
func Examine(ctx context.Context, cfg Config) (*Report, error) {
	conn, err := connect(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	f, err := gather(ctx, conn, cfg)
	if err != nil {
		return nil, err
	}
	return f.report(), nil
}

// connect prefers a primary, as all commands do, but a standby can be examined too.
func connect(ctx context.Context, cfg *pgconn.Config) (*admin.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := admin.Connect(ctx, cfg)
	if errors.Is(err, admin.ErrStandby) {
		standby := cfg.Copy()
		standby.ValidateConnect = func(context.Context, *pgconn.PgConn) error { return nil }
		conn, err = admin.Connect(ctx, standby)
	}
	if err != nil {
		return nil, err
	}
	// The bounds of partitions are read as text.
	const session = "SET default_transaction_read_only = on; SET statement_timeout = '" + statementTimeout + "'; SET lock_timeout = '1s'; " +
		"SET TimeZone = 'UTC'; SET DateStyle = 'ISO'"
	if _, err := conn.Script(ctx, session); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
