package audit

import (
	"fmt"
	"strings"
	"testing"

	"pgwitness/internal/config"
)

// testSubscription checks that what a subscription's worker writes into an attached table is captured, once.
func testSubscription(t *testing.T, s *testServer) {
	source, name := s.database(t), s.installed(t)
	publisher, conn, d := s.connect(t, source), s.connect(t, name), s.open(t, name)
	const tables = "CREATE TABLE t (id int PRIMARY KEY, s text)"
	exec(t, publisher, tables)
	exec(t, publisher, "CREATE PUBLICATION p FOR TABLE t")
	exec(t, publisher, "SELECT pg_create_logical_replication_slot('s', 'pgoutput')") // by the subscription itself it would wait for itself
	exec(t, conn, tables)
	attachTo(t, d, Attach{})
	exec(t, conn, fmt.Sprintf(`CREATE SUBSCRIPTION s CONNECTION '%s' PUBLICATION p WITH (create_slot = false, slot_name = 's', copy_data = false)`,
		strings.ReplaceAll(s.DSN(source), "'", "''")))
	if _, err := d.Attach(t.Context(), Attach{Tables: []config.Table{table(t, "public.t")}, Mode: "statement"}); err == nil ||
		!strings.Contains(err.Error(), "what a subscription writes") {
		t.Errorf("statement mode: error is %v", err)
	}
	exec(t, publisher, "INSERT INTO t VALUES (1, 'a'); UPDATE t SET s = 'b'; DELETE FROM t; INSERT INTO t VALUES (2, 'c'); TRUNCATE t; INSERT INTO t VALUES (9)")
	exec(t, conn, `SET statement_timeout = '60s'; DO $$ BEGIN
			WHILE NOT EXISTS (SELECT FROM custom_audit_log) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$`)
	if got, want := ask(t, conn, "SELECT string_agg(event_type, ' ' ORDER BY id) FROM custom_audit_log"), "INSERT UPDATE DELETE INSERT TRUNCATE INSERT"; got != want {
		t.Errorf("captured: %s, want %s", got, want)
	}
}
