package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// seed makes the seed's audit table alone.
func (s *testServer) seed(t *testing.T) string {
	t.Helper()
	name := s.database(t)
	exec(t, s.connect(t, name), `CREATE TABLE custom_audit_log (id SERIAL PRIMARY KEY, event_type VARCHAR(50), event_timestamp TIMESTAMP,
		user_name VARCHAR(50), table_name VARCHAR(50), row_data JSONB)`)
	return name
}

const tenDays = "INSERT INTO custom_audit_log (event_type, event_timestamp) VALUES ('INSERT', localtimestamp - interval '%s')"

func deletesRows(t *testing.T, s *testServer, change string) {
	name := s.seed(t)
	conn := s.connect(t, name)
	exec(t, conn, change)
	r := s.slot(t, name, "10d")
	r.Batch, r.Wait = 7, 300*time.Millisecond
	for range 20 {
		exec(t, conn, fmt.Sprintf(tenDays, "30 days"))
	}
	// Its time has no zone: until a day later it may be younger than ten days somewhere.
	exec(t, conn, fmt.Sprintf(tenDays, "10 days 23 hours"))
	exec(t, conn, fmt.Sprintf(tenDays, "1 day"))
	exec(t, conn, "INSERT INTO custom_audit_log (event_type) VALUES ('undated')")

	_, err := retain(t, s.open(t, name), r)
	if !errors.Is(err, ErrBehind) {
		t.Fatalf("error %v, want %v", err, ErrBehind)
	}
	expect(t, conn, "23", "SELECT count(*) FROM custom_audit_log")

	// What is not committed when it looks was not delivered when it deletes, however old its date.
	late := s.connect(t, name)
	exec(t, late, "BEGIN")
	exec(t, late, fmt.Sprintf(tenDays, "40 days"))
	d := s.open(t, name)
	r.Wait = 10 * time.Second
	said, done := "", make(chan error, 1)
	go func() {
		var b strings.Builder
		err := d.Retain(context.Background(), &b, r)
		said = b.String()
		done <- err
	}()
	awaitTrue(t, conn, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_replication_slots s' AND pid <> pg_backend_pid() AND datname = current_database())")
	exec(t, late, "COMMIT")
	s.follow(t, name)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	holds(t, said, "Deleted 20 rows", "in 3 transactions", "a day earlier", "its oldest row is of")
	expect(t, conn, "4 rows, 1 late, 1 undated, 1 entry", `SELECT format('%s rows, %s late, %s undated, %s entry', count(*) FILTER (WHERE event_type <> 'RETENTION'),
		count(*) FILTER (WHERE event_timestamp < localtimestamp - interval '39 days'), count(*) FILTER (WHERE event_timestamp IS NULL),
		count(*) FILTER (WHERE row_data @> '{"what":"rows","rows":20}')) FROM custom_audit_log`)

	holds(t, mustRetain(t, s.open(t, name), r), "Deleted 1 rows")
	holds(t, mustRetain(t, s.open(t, name), r), "none was deleted")
	expect(t, conn, "2", "SELECT count(*) FROM custom_audit_log WHERE event_type = 'RETENTION'")
}

// deletesGuardedRows has the guard on the table, as harden puts it, and a publication that takes deletes too.
func deletesGuardedRows(t *testing.T, s *testServer) {
	name := s.installed(t)
	conn := s.connect(t, name)
	exec(t, conn, `DROP TABLE public.custom_audit_log;
		CREATE TABLE public.custom_audit_log (id bigserial PRIMARY KEY, event_type text, event_timestamp timestamptz, user_name text, session_user_name text NOT NULL, tx_id bigint NOT NULL);
		ALTER TABLE public.custom_audit_log OWNER TO pgwitness_audit; SELECT pgwitness.guard('public.custom_audit_log');
		CREATE PUBLICATION p FOR TABLE public.custom_audit_log`)
	r := s.slot(t, name, "10d")
	insertAt(t, conn, time.Now().AddDate(0, 0, -11))
	insertAt(t, conn, time.Now().Add(-9*24*time.Hour))
	s.follow(t, name)
	holds(t, mustRetain(t, s.open(t, name), r), "Deleted 1 rows")
	expect(t, conn, "INSERT RETENTION", "SELECT string_agg(event_type, ' ' ORDER BY id) FROM public.custom_audit_log")
	if code := try(t, conn, "DELETE FROM public.custom_audit_log"); code != "42501" {
		t.Errorf("DELETE after retention: SQLSTATE %q", code)
	}
	stranger := s.connectAs(t, name, "stranger", "")
	exec(t, conn, "GRANT DELETE, SELECT ON public.custom_audit_log TO stranger; GRANT USAGE ON SCHEMA pgwitness TO stranger")
	if code := try(t, stranger, "SET pgwitness.retention = 'on'; DELETE FROM public.custom_audit_log"); code != "42501" {
		t.Errorf("DELETE of a stranger who says that it is retention: SQLSTATE %q", code)
	}
}

func printsWhatDeletesRows(t *testing.T, s *testServer) {
	name := s.seed(t)
	conn := s.connect(t, name)
	r := s.slot(t, name, "10d")
	r.Batch = 3
	for range 7 {
		exec(t, conn, fmt.Sprintf(tenDays, "30 days"))
	}
	exec(t, conn, fmt.Sprintf(tenDays, "1 day"))
	d := s.open(t, name)
	table, err := d.readTable(t.Context(), r.Keep)
	if err != nil {
		t.Fatal(err)
	}
	s.follow(t, name)
	for _, step := range d.rowScript(r, table) {
		exec(t, conn, step.SQL)
	}
	expect(t, conn, "INSERT, RETENTION of 7", `SELECT string_agg(event_type || coalesce(' of ' || (row_data ->> 'rows'), ''), ', ' ORDER BY id) FROM custom_audit_log`)
}

// writesDownHalf has a trigger of somebody's stop it in its third batch.
func writesDownHalf(t *testing.T, s *testServer) {
	name := s.seed(t)
	conn := s.connect(t, name)
	exec(t, conn, `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = 5 THEN RAISE 'not this one'; END IF; RETURN OLD; END $$;
		CREATE TRIGGER no BEFORE DELETE ON custom_audit_log FOR EACH ROW EXECUTE FUNCTION no()`)
	r := s.slot(t, name, "10d")
	r.Batch = 2
	for range 7 {
		exec(t, conn, fmt.Sprintf(tenDays, "30 days"))
	}
	s.follow(t, name)
	said, err := retain(t, s.open(t, name), r)
	if err == nil || !strings.Contains(err.Error(), "not this one") {
		t.Errorf("error %v", err)
	}
	holds(t, said, "Deleted 4 rows")
	expect(t, conn, "4", "SELECT row_data ->> 'rows' FROM custom_audit_log WHERE event_type = 'RETENTION'")
	expect(t, conn, "3", "SELECT count(*) FROM custom_audit_log WHERE event_type = 'INSERT'")
}
