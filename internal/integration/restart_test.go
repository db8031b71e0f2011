package integration

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// TestServerRestart restarts the server under a consumer whose sink remembers nothing: what was delivered does not come
// again. Up to PostgreSQL 16 a slot comes back from a clean restart with an older position, and the server sends the last
// transactions once more to whoever does not start at their exact end.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	for _, version := range []int{16, 17} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			restart(t, witnesstest.NewDatabase(t, start(t, version, nil)))
		})
	}
}

func restart(t *testing.T, d *witnesstest.Database) {
	out := newStdout(t)
	out.read()
	cfg := d.Config(t)
	cfg.Sinks = "[{type: stdout}]"
	cfg.Stdout = out.writer
	p := witnesstest.Run(t, cfg)
	d.AwaitActive(t)
	for _, mode := range []embeddedpg.Mode{embeddedpg.Fast, embeddedpg.Fast, embeddedpg.Immediate} {
		insert(t, d, 3)
		d.AwaitConfirmed(t, soon)
		if took := d.StopServer(t, mode); took > 10*time.Second {
			t.Errorf("the server needed %v to stop (%s)", took, mode)
		}
		d.StartServer(t)
		d.AwaitActive(t)
	}
	// A second process starts where the first one ended.
	p.Signal(t, syscall.SIGTERM)
	expectExit(t, p, exitDone)
	d.StopServer(t, embeddedpg.Fast)
	d.StartServer(t)
	witnesstest.Run(t, cfg)
	insert(t, d, 1)
	d.AwaitConfirmed(t, soon)
	expectTable(t, d, out.all())
}

// TestSecondConnectionRefused turns the second connection away, the one that watches the slot: the stream goes on.
func TestSecondConnectionRefused(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, nil))
	proxy := witnesstest.NewProxy(t, d.Server)
	cfg := d.Config(t)
	cfg.DSN = d.DSNThrough(proxy)
	p := witnesstest.Run(t, cfg)
	d.AwaitActive(t)
	const monitors = "FROM pg_stat_activity WHERE application_name = 'pgwitness' AND backend_type = 'client backend'"
	d.Await(t, "count(*) = 1 "+monitors, soon)
	proxy.Refuse()
	d.Exec(t, "SELECT pg_terminate_backend(pid) "+monitors)
	p.AwaitLog(t, "the slot cannot be watched", soon)
	pid := d.Query(t, "SELECT active_pid::text FROM pg_replication_slots WHERE slot_name = '"+d.Name+"'")
	// The stream would be given up, if wrongly, after a grace of two seconds.
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		insert(t, d, 1)
		d.AwaitConfirmed(t, soon)
	}
	d.Await(t, "active_pid = "+pid+" FROM pg_replication_slots WHERE slot_name = '"+d.Name+"'", time.Second)
	expectTable(t, d, readFile(t, cfg))
}
