package integration

import (
	"fmt"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// TestSlot touches the slot behind the back of a consumer.
func TestSlot(t *testing.T) {
	t.Parallel()
	server := start(t, 0, nil)
	for name, run := range map[string]func(*testing.T, *witnesstest.Database){
		"dropped after it was used": func(t *testing.T, d *witnesstest.Database) {
			cfg := d.Config(t)
			deliver(t, d, cfg)
			d.DropSlot(t)
			expectExit(t, witnesstest.Run(t, cfg), exitEvidence, "slot "+d.Name+" does not exist", "it was in order before", "0/")
		},
		"dropped before it was used": func(t *testing.T, d *witnesstest.Database) {
			d.DropSlot(t)
			expectExit(t, witnesstest.Run(t, d.Config(t)), exitSetup, "slot "+d.Name+" does not exist", "pgwitness init")
		},
		"re-created while stopped": func(t *testing.T, d *witnesstest.Database) {
			cfg := d.Config(t)
			deliver(t, d, cfg)
			d.DropSlot(t)
			d.CreateSlot(t)
			expectExit(t, witnesstest.Run(t, cfg), exitEvidence, "it was re-created, or somebody else consumed it", "state_dir")
		},
		"re-created while the connection was lost": func(t *testing.T, d *witnesstest.Database) {
			proxy := witnesstest.NewProxy(t, d.Server)
			cfg := d.Config(t)
			cfg.DSN = d.DSNThrough(proxy)
			p := witnesstest.Run(t, cfg)
			p.AwaitLog(t, "streaming", soon)
			proxy.Refuse()
			proxy.Reset()
			d.DropSlot(t)
			d.CreateSlot(t)
			if err := proxy.Heal(); err != nil {
				t.Fatal(err)
			}
			expectExit(t, p, exitEvidence, "it was re-created, or somebody else consumed it")
		},
		"advanced by somebody else": func(t *testing.T, d *witnesstest.Database) {
			cfg := d.Config(t)
			deliver(t, d, cfg)
			insert(t, d, 1)
			d.Exec(t, "SELECT pg_replication_slot_advance('"+d.Name+"', pg_current_wal_lsn())")
			expectExit(t, witnesstest.Run(t, cfg), exitEvidence, "somebody else consumed it", "rows between the two were not delivered")
		},
		"role without REPLICATION": func(t *testing.T, d *witnesstest.Database) {
			d.Exec(t, "CREATE ROLE plain LOGIN PASSWORD 'plain'")
			cfg := d.Config(t)
			cfg.DSN = fmt.Sprintf("host=127.0.0.1 port=%d user=plain password=plain dbname=%s sslmode=disable", d.Server.Port(), d.Name)
			expectExit(t, witnesstest.Run(t, cfg), exitSetup, "42501", "LOGIN REPLICATION")
		},
		"another plugin": func(t *testing.T, d *witnesstest.Database) {
			d.DropSlot(t)
			d.Exec(t, "SELECT pg_create_logical_replication_slot('"+d.Name+"', 'test_decoding')")
			expectExit(t, witnesstest.Run(t, d.Config(t)), exitSetup, `"test_decoding"`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, witnesstest.NewDatabase(t, server))
		})
	}
}

// outgrow writes more WAL than a slot may retain, and has the server notice.
func outgrow(t *testing.T, d *witnesstest.Database) {
	t.Helper()
	d.Exec(t, "CREATE TABLE IF NOT EXISTS unpublished (text text)")
	for range 4 {
		d.Exec(t, "INSERT INTO unpublished SELECT repeat('x', 1500) FROM generate_series(1, 8000)") // 12 MB
		d.Exec(t, "SELECT pg_switch_wal()")
		d.Exec(t, "CHECKPOINT")
	}
}

// smallSlots lets a slot retain 32 MB, two segments.
var smallSlots = map[string]string{"max_slot_wal_keep_size": "32MB", "min_wal_size": "32MB", "max_wal_size": "64MB"}

// TestSlotInvalidatedWhileStopped outgrows the slot of a consumer that is down.
func TestSlotInvalidatedWhileStopped(t *testing.T) {
	t.Parallel()
	for _, version := range []int{14, embeddedpg.DefaultVersion} {
		d := witnesstest.NewDatabase(t, start(t, version, smallSlots))
		cfg := d.Config(t)
		deliver(t, d, cfg)
		insert(t, d, 1)
		outgrow(t, d)
		expectExit(t, witnesstest.Run(t, cfg), exitEvidence, "slot "+d.Name, "was invalidated", "rows after 0/", "pgwitness init")
	}
}

// TestSlotInvalidatedWhileStreaming outgrows the slot of a consumer whose sink is stuck.
func TestSlotInvalidatedWhileStreaming(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, smallSlots))
	cfg := d.Config(t)
	cfg.Sinks = "[{type: stdout}]"
	cfg.Environ = []string{"PGWITNESS_BUFFER_MAX_BYTES=64KiB", "PGWITNESS_SHUTDOWN_GRACE=1s"}
	cfg.Stdout = newStdout(t).writer
	p := witnesstest.Run(t, cfg)
	d.AwaitActive(t)
	d.Exec(t, "INSERT INTO custom_audit_log (event_type) SELECT repeat('x', 50) FROM generate_series(1, 200000)")
	outgrow(t, d)
	expectExit(t, p, exitEvidence, "slot "+d.Name, "rows after 0/")
}
