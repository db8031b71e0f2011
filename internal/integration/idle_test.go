package integration

import (
	"strconv"
	"testing"
	"time"

	"pgwitness/internal/witnesstest"
)

// TestIdleAuditTable writes 240 MB into a table that is not published, and nothing into the audit table: the slot follows,
// though nobody writes a heartbeat.
func TestIdleAuditTable(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, map[string]string{"max_wal_size": "1GB"}))
	witnesstest.Run(t, d.Config(t))
	d.AwaitActive(t)
	d.Exec(t, "CREATE TABLE busy (text text)")
	most := 0
	for range 24 {
		d.Exec(t, "INSERT INTO busy SELECT repeat('x', 1500) FROM generate_series(1, 6200)") // 10 MB
		// What a slot retains begins at a snapshot of the running transactions, as the server writes one every 15 s, and
		// with each checkpoint.
		d.Exec(t, "CHECKPOINT")
		d.AwaitConfirmed(t, soon)
		retained, err := strconv.Atoi(d.Query(t, "SELECT (pg_current_wal_lsn() - restart_lsn)::bigint::text FROM pg_replication_slots"))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, retained>>20)
	}
	t.Logf("at most %d MB retained", most)
	if most >= 32 {
		t.Errorf("%d MB retained", most)
	}
	d.Await(t, "count(*) = 0 FROM custom_audit_log", time.Second)
}
