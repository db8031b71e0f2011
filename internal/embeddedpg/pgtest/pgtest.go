// Package pgtest starts real PostgreSQL servers in tests, and connects to them.
package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"pgwitness/internal/embeddedpg"
)

// Main runs the tests of a package that starts servers, and fails when they leave goroutines behind. It is the whole of
// the package's TestMain:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
func Main(m *testing.M, options ...goleak.Option) {
	if embeddedpg.RunChild() {
		return
	}
	goleak.VerifyTestMain(m, options...)
}

// Start starts a server for the length of a test. The test fails at once when it does not start, and when it cannot be
// closed at the end.
func Start(tb testing.TB, cfg embeddedpg.Config) *embeddedpg.Server {
	tb.Helper()
	server, err := embeddedpg.Start(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Errorf("close the server: %v", err)
		}
	})
	return server
}

// Versions are the versions to run a test against: all that are given, and with -short the last of them.
func Versions(versions []int) []int {
	if testing.Short() {
		return versions[len(versions)-1:]
	}
	return versions
}

// Connect connects until the end of a test.
func Connect(tb testing.TB, cfg *pgconn.Config) *pgconn.PgConn {
	tb.Helper()
	conn, err := pgconn.ConnectConfig(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = conn.Close(context.Background())
		<-conn.CleanupDone()
	})
	return conn
}
