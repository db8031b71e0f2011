package replication

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestDialPassesOverASilentHost names first a host that takes connections and says nothing, as one does that is down or
// hangs, and then another one, which has to be tried while there is time.
func TestDialPassesOverASilentHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialled []string
		configure := func() (*pgconn.Config, error) {
			cfg, err := pgconn.ParseConfig("postgres://u@silent,second/db?sslmode=disable")
			if err != nil {
				return nil, err
			}
			cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
			cfg.DialFunc = func(_ context.Context, _, address string) (net.Conn, error) {
				dialled = append(dialled, address)
				client, server := net.Pipe()
				t.Cleanup(func() { _ = server.Close() })
				if address == "second:5432" {
					_ = server.Close()
				}
				return client, nil
			}
			return cfg, nil
		}
		ctx, cancel := withTimeout(t.Context())
		defer cancel()
		began := time.Now()
		if _, _, err := dial(ctx, configure, true); err == nil {
			t.Fatal("connected to nobody")
		}
		if len(dialled) != 2 || time.Since(began) != hostTimeout {
			t.Errorf("dialled %v within %v, want both within %v", dialled, time.Since(began), hostTimeout)
		}
	})
}
