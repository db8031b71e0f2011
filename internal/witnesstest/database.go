package witnesstest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgwitness/internal/embeddedpg"
	"pgwitness/scripts"
)

// Database is a database of its own on a server, with the seed's audit table and triggers, a publication of that table,
// and a slot. Slot and publication have its name.
type Database struct {
	Name   string
	Server *embeddedpg.Server
}

var databases atomic.Int64

// Role and RolePassword are the least-privileged role: LOGIN REPLICATION, and what PUBLIC has.
const (
	Role         = "witness"
	RolePassword = "a-test's-password"
)

// NewDatabase makes a Database on server. It is dropped with the server.
func NewDatabase(tb testing.TB, server *embeddedpg.Server) *Database {
	tb.Helper()
	d := NewBareDatabase(tb, server)
	d.Exec(tb, "CREATE PUBLICATION "+d.Name+" FOR TABLE custom_audit_log WITH (publish = 'insert, truncate')")
	d.CreateSlot(tb)
	return d
}

// NewBareDatabase makes a Database without the publication and without the slot.
func NewBareDatabase(tb testing.TB, server *embeddedpg.Server) *Database {
	tb.Helper()
	d := &Database{Name: fmt.Sprintf("shop_%d", databases.Add(1)), Server: server}
	admin := connect(tb, server.DSN("postgres"))
	for _, sql := range []string{
		`DO $$ BEGIN
			CREATE ROLE ` + Role + ` LOGIN REPLICATION PASSWORD '` + strings.ReplaceAll(RolePassword, "'", "''") + `';
		EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
		"CREATE DATABASE " + d.Name,
	} {
		if _, err := admin.Exec(tb.Context(), sql); err != nil {
			tb.Fatal(err)
		}
	}
	d.Exec(tb, "CREATE TABLE your_table (id serial PRIMARY KEY, column_name text)")
	d.Exec(tb, scripts.Seed)
	return d
}

// CreateSlot makes the slot.
func (d *Database) CreateSlot(tb testing.TB) {
	tb.Helper()
	d.Exec(tb, "SELECT pg_create_logical_replication_slot('"+d.Name+"', 'pgoutput')")
}

// DropSlot drops the slot as soon as nobody streams from it: a killed consumer's walsender needs a moment to notice.
func (d *Database) DropSlot(tb testing.TB) {
	tb.Helper()
	d.AwaitIdle(tb)
	d.Exec(tb, "SELECT pg_drop_replication_slot('"+d.Name+"')")
}

// AwaitIdle waits until nobody streams from the slot.
func (d *Database) AwaitIdle(tb testing.TB) {
	tb.Helper()
	d.Await(tb, "NOT active FROM pg_replication_slots WHERE slot_name = '"+d.Name+"'", 30*time.Second)
}

// AwaitActive waits until somebody streams from the slot.
func (d *Database) AwaitActive(tb testing.TB) {
	tb.Helper()
	d.Await(tb, "active FROM pg_replication_slots WHERE slot_name = '"+d.Name+"'", 30*time.Second)
}

// AwaitConfirmed waits until the slot is confirmed up to where the WAL ends now.
func (d *Database) AwaitConfirmed(tb testing.TB, limit time.Duration) {
	tb.Helper()
	end := d.Query(tb, "SELECT pg_current_wal_insert_lsn()::text")
	d.Await(tb, "confirmed_flush_lsn >= '"+end+"' FROM pg_replication_slots WHERE slot_name = '"+d.Name+"'", limit)
}

// StopServer stops the server and returns how long that took. The test fails at once when it takes longer than a minute: a
// fast shutdown waits for the consumer.
func (d *Database) StopServer(tb testing.TB, mode embeddedpg.Mode) time.Duration {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	if err := d.Server.Stop(ctx, mode); err != nil {
		tb.Fatalf("stopping the server (%s): %v", mode, err)
	}
	return time.Since(began)
}

// StartServer starts the server again.
func (d *Database) StartServer(tb testing.TB) {
	tb.Helper()
	if err := d.Server.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// AdminDSN is the superuser's.
func (d *Database) AdminDSN() string { return d.Server.DSN(d.Name) }

// AdminDSNThrough is the superuser's through proxy.
func (d *Database) AdminDSNThrough(proxy *Proxy) string {
	return strings.Replace(d.AdminDSN(), serverAddress(d.Server), proxy.address, 1)
}

// DSN is the least-privileged role's.
func (d *Database) DSN() string { return d.dsn(serverAddress(d.Server)) }

// DSNThrough is the least-privileged role's through proxy.
func (d *Database) DSNThrough(proxy *Proxy) string {
	return d.dsn(proxy.address)
}

func (d *Database) dsn(address string) string {
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(Role, RolePassword), Host: address,
		Path: "/" + d.Name, RawQuery: "sslmode=disable",
	}
	return dsn.String()
}

func serverAddress(server *embeddedpg.Server) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port()))
}

// Config is a Process's that follows the database, with a new directory.
func (d *Database) Config(tb testing.TB) Config {
	tb.Helper()
	return Config{DSN: d.DSN(), Slot: d.Name, Publication: d.Name, Dir: tb.TempDir()}
}

// Connect connects as the superuser until the end of the test.
func (d *Database) Connect(tb testing.TB) *pgx.Conn {
	tb.Helper()
	return connect(tb, d.AdminDSN())
}

// Exec runs sql, which may be several statements, on a connection of its own.
func (d *Database) Exec(tb testing.TB, sql string) {
	tb.Helper()
	conn := connect(tb, d.AdminDSN())
	defer conn.Close(tb.Context())
	if _, err := conn.Exec(tb.Context(), sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// Query returns the one value that sql gives, as text.
func (d *Database) Query(tb testing.TB, sql string) string {
	tb.Helper()
	conn := connect(tb, d.AdminDSN())
	defer conn.Close(tb.Context())
	var text string
	if err := conn.QueryRow(tb.Context(), sql, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return text
}

// Await waits until "SELECT condition" gives one row and that is true. The test fails at once when that takes longer than
// limit.
func (d *Database) Await(tb testing.TB, condition string, limit time.Duration) {
	tb.Helper()
	conn := connect(tb, d.AdminDSN())
	defer conn.Close(tb.Context())
	var holds bool
	var err error
	if !Poll(limit, func() bool {
		err = conn.QueryRow(tb.Context(), "SELECT "+condition).Scan(&holds)
		return err == nil && holds
	}) {
		tb.Fatalf("not within %v: %s (last error: %v)", limit, condition, err)
	}
}

// Poll calls condition every 20 ms until it holds, or limit has passed, and says whether it held.
func Poll(limit time.Duration, condition func() bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-timer.C:
			return false
		}
	}
	return true
}

func connect(tb testing.TB, dsn string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(tb.Context()) }) // closed before, or the server is gone
	return conn
}
