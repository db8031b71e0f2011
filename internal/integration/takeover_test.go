package integration

import (
	"os"
	"path/filepath"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// TestSecondConsumer starts a second process on the slot: it waits, and takes over when the first has gone.
func TestSecondConsumer(t *testing.T) {
	t.Parallel()
	server := start(t, 0, nil)
	t.Run("with a directory of its own", func(t *testing.T) {
		t.Parallel()
		d := witnesstest.NewDatabase(t, server)
		firstConfig, secondConfig := d.Config(t), d.Config(t)
		first := witnesstest.Run(t, firstConfig)
		d.AwaitActive(t)
		second := witnesstest.Run(t, secondConfig)
		second.AwaitLog(t, "slot_busy", soon)
		insert(t, d, 1)
		d.AwaitConfirmed(t, soon)
		first.Kill()
		second.AwaitLog(t, "streaming", soon)
		insert(t, d, 1)
		d.AwaitConfirmed(t, soon)
		expectTable(t, d, append(readFile(t, firstConfig), readFile(t, secondConfig)...))
		second.Kill()
		d.AwaitIdle(t)
		// What the second took is not in the first one's file, and the first says so.
		expectExit(t, witnesstest.Run(t, firstConfig), exitEvidence, "somebody else consumed it")
	})
	// As when a service is restarted and the old process needs a moment to end.
	t.Run("with the same directory", func(t *testing.T) {
		t.Parallel()
		d := witnesstest.NewDatabase(t, server)
		cfg := d.Config(t)
		first := witnesstest.Run(t, cfg)
		insert(t, d, 1)
		d.AwaitConfirmed(t, soon)
		second := witnesstest.Run(t, cfg)
		second.AwaitLog(t, "slot_busy", soon)
		for range 20 { // while the second looks at checkpoint, slot and server, again and again
			insert(t, d, 1)
			d.AwaitConfirmed(t, soon)
		}
		first.Kill()
		second.AwaitLog(t, "streaming", soon)
		insert(t, d, 1)
		d.AwaitConfirmed(t, soon)
		expectTable(t, d, readFile(t, cfg))
	})
}

// TestAnotherCluster puts another server behind the DSN.
func TestAnotherCluster(t *testing.T) {
	t.Parallel()
	d, other := witnesstest.NewDatabase(t, start(t, 0, nil)), start(t, 0, nil)
	cfg := d.Config(t)
	deliver(t, d, cfg)
	bare := witnesstest.NewBareDatabase(t, other)
	cfg.DSN = bare.DSN()
	expectExit(t, witnesstest.Run(t, cfg), exitEvidence, "another cluster")
	bare.Exec(t, "CREATE PUBLICATION "+cfg.Publication+" FOR TABLE custom_audit_log")
	bare.Exec(t, "SELECT pg_create_logical_replication_slot('"+cfg.Slot+"', 'pgoutput')")
	expectExit(t, witnesstest.Run(t, cfg), exitEvidence, "another cluster")
}

// TestStandby connects to a server in recovery, for the first time and after the slot had been used.
func TestStandby(t *testing.T) {
	t.Parallel()
	server := start(t, 0, nil)
	d := witnesstest.NewDatabase(t, server)
	used, unused := d.Config(t), d.Config(t)
	deliver(t, d, used)
	d.Exec(t, "SELECT pg_drop_replication_slot('"+d.Name+"')") // a standby has none, before 17
	d.StopServer(t, embeddedpg.Fast)
	if err := os.WriteFile(filepath.Join(server.DataDir(), "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d.StartServer(t)
	for _, cfg := range []witnesstest.Config{used, unused} {
		expectExit(t, witnesstest.Run(t, cfg), exitSetup, "the server is a standby")
	}
}
