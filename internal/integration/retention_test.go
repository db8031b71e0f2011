package integration

import (
	"fmt"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// TestRetention tells what was announced from what was not, through the real server's messages.
func TestRetention(t *testing.T) {
	t.Parallel()
	const announce = `SELECT pg_logical_emit_message(%t, 'pgwitness.retention', '{"table":"public.custom_audit_log","before":"2025-11-01T00:00:00Z"}');`
	for _, version := range embeddedpg.Versions() {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			d := seedDatabase(t, witnesstest.NewBareDatabase(t, start(t, version, nil)))
			cfg := d.Config(t)
			p := witnesstest.Run(t, cfg)
			insert(t, d, 4)
			d.Exec(t, "BEGIN;"+fmt.Sprintf(announce, true)+"DELETE FROM custom_audit_log WHERE id = 1; COMMIT")
			d.Exec(t, "BEGIN;"+fmt.Sprintf(announce, false)+"DELETE FROM custom_audit_log WHERE id = 2; COMMIT")
			d.Exec(t, "BEGIN;"+fmt.Sprintf(announce, true)+"UPDATE custom_audit_log SET user_name = 'x' WHERE id = 3; TRUNCATE custom_audit_log; COMMIT")
			// Others' messages, a large one among them, come outside of transactions and in transactions of their own.
			for range 20 {
				d.Exec(t, "SELECT pg_logical_emit_message(false, 'somebody', 'else'), pg_logical_emit_message(true, 'somebody', repeat('x', 5000000))")
			}
			d.AwaitConfirmed(t, soon)
			p.Kill()
			d.AwaitIdle(t)
			d.Exec(t, "SELECT pg_logical_emit_message(false, 'somebody', 'else')")
			insert(t, d, 1)
			d.Exec(t, "SELECT pg_logical_emit_message(false, 'somebody', 'else')")
			witnesstest.Run(t, cfg)
			d.AwaitConfirmed(t, soon)
			expectEvents(t, cfg, "audit insert  1", "audit insert  2", "audit insert  3", "audit insert  4", "retention delete  1",
				"tamper delete  2", "tamper update  3", "tamper truncate  0", "audit insert  5")
		})
	}
}
