// Package pgtest starts real PostgreSQL servers in tests.
package pgtest

import (
	"testing"

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
