package replication

import (
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestDialPassesOverASilentHost names first a host that takes connections and says nothing, as one does that is down or
// hangs, and then one that refuses them: that it came to the second is seen in time, not after all of connectTimeout.
func TestDialPassesOverASilentHost(t *testing.T) {
	t.Parallel()
	listen := func() net.Listener {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener
	}
	silent, second := listen(), listen()
	reached := make(chan struct{})
	go func() {
		if conn, err := second.Accept(); err == nil {
			close(reached)
			_ = conn.Close()
		}
	}()
	ctx, cancel := withTimeout(t.Context())
	defer cancel()
	began := time.Now()
	_, _, err := dial(ctx, func() (*pgconn.Config, error) {
		return pgconn.ParseConfig("postgres://u@" + silent.Addr().String() + "," + second.Addr().String() + "/db?sslmode=disable")
	}, true)
	if err == nil {
		t.Fatal("connected to nobody")
	}
	select {
	case <-reached:
	default:
		t.Errorf("the second host was not tried: %v", err)
	}
	if took := time.Since(began); took < hostTimeout || took > hostTimeout+2*time.Second {
		t.Errorf("gave up after %v, want %v for the first host", took, hostTimeout)
	}
}
