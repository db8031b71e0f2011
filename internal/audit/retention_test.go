package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/replication"
	"pgwitness/internal/webclient"
)

// mainPath are the versions that the main path of retention is tested on; its SQL differs in none of the others.
var mainPath = []int{14, 17, 18}

func keep(text string) Keep {
	var k Keep
	if err := k.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return k
}

// slot makes the replication slot of a test and returns the Retention that asks it.
func (s *testServer) slot(t *testing.T, database, kept string) Retention {
	t.Helper()
	exec(t, s.connect(t, database), fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s', 'pgoutput')", database))
	return Retention{Keep: keep(kept), Ahead: 2, Wait: 10 * time.Second, Slot: database}
}

// follow confirms whatever is committed, as a consumer would, until it is stopped or the test ends.
func (s *testServer) follow(t *testing.T, slot string) (stop func()) {
	t.Helper()
	conn := s.connect(t, slot)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			advance := fmt.Sprintf("SELECT pg_replication_slot_advance('%s', pg_current_wal_flush_lsn())", slot)
			if _, err := conn.Exec(context.Background(), advance).ReadAll(); err != nil {
				t.Errorf("advancing the slot: %v", err)
				return
			}
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			close(done)
			<-ended
		}
	}
	t.Cleanup(stop)
	return stop
}

// old makes a guarded partition of so many months ago with 10 rows in it, and returns its name.
func old(t *testing.T, conn *pgconn.PgConn, monthsAgo int) string {
	t.Helper()
	from := month(-monthsAgo)
	name := "pgwitness.custom_audit_log_" + from.Format("2006_01")
	exec(t, conn, fmt.Sprintf(`CREATE TABLE %[1]s PARTITION OF public.custom_audit_log FOR VALUES FROM ('%[2]s') TO ('%[3]s');
		SELECT pgwitness.guard('%[1]s')`, name, from.Format(time.RFC3339), from.AddDate(0, 1, 0).Format(time.RFC3339)))
	for range 10 {
		insertAt(t, conn, from.AddDate(0, 0, 2))
	}
	return name
}

// month is the beginning of the month so many months ahead of this one.
func month(ahead int) time.Time {
	now := time.Now().UTC()
	return time.Date(now.Year(), now.Month()+time.Month(ahead), 1, 0, 0, 0, 0, time.UTC)
}

func insertAt(t *testing.T, conn *pgconn.PgConn, at time.Time) {
	t.Helper()
	exec(t, conn, fmt.Sprintf(`INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, session_user_name, tx_id)
		VALUES ('INSERT', '%s', 'app', 'app', 1)`, at.Format(time.RFC3339)))
}

// retain runs retention and returns what it said.
func retain(t *testing.T, d *Database, r Retention) (string, error) {
	t.Helper()
	var said strings.Builder
	err := d.Retain(t.Context(), &said, r)
	return said.String(), err
}

func mustRetain(t *testing.T, d *Database, r Retention) string {
	t.Helper()
	said, err := retain(t, d, r)
	if err != nil {
		t.Fatalf("%v\nit had said:\n%s", err, said)
	}
	return said
}

// holds checks that text has each of parts.
func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not said in:\n%s", part, text)
		}
	}
}

func expect(t *testing.T, conn *pgconn.PgConn, want, sql string) {
	t.Helper()
	if got := ask(t, conn, sql); got != want {
		t.Errorf("%s: %s, want %s", sql, got, want)
	}
}

const partitionCount = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.custom_audit_log'::regclass"

func TestRetention(t *testing.T) {
	eachVersion(t, mainPath, func(t *testing.T, s *testServer) {
		t.Run("dropped", func(t *testing.T) { dropsPartitions(t, s) })
		t.Run("drop printed", func(t *testing.T) { printsWhatDropsPartitions(t, s) })
		t.Run("refused", func(t *testing.T) { refusesToDrop(t, s) })
		t.Run("late writer", func(t *testing.T) { waitsForWriters(t, s) })
		t.Run("lock timeout", func(t *testing.T) { keepsWritersWaitingNoLonger(t, s) })
		t.Run("default", func(t *testing.T) { repairsDefault(t, s) })
		t.Run("strays apart", func(t *testing.T) { leavesScatteredStrays(t, s) })
		t.Run("rows with a key", func(t *testing.T) { deletesRows(t, s, "") })
		t.Run("rows without a key", func(t *testing.T) {
			deletesRows(t, s, "ALTER TABLE custom_audit_log DROP CONSTRAINT custom_audit_log_pkey")
		})
		t.Run("guarded rows", func(t *testing.T) { deletesGuardedRows(t, s) })
		t.Run("deletion printed", func(t *testing.T) { printsWhatDeletesRows(t, s) })
		t.Run("stopped half way", func(t *testing.T) { writesDownHalf(t, s) })
	})
}

func dropsPartitions(t *testing.T, s *testServer) {
	name := s.installed(t)
	conn := s.connect(t, name)
	r := s.slot(t, name, "12mo")
	first, second, kept := old(t, conn, 14), old(t, conn, 13), old(t, conn, 12)
	s.follow(t, name)
	// It has neither a transaction id nor a lock in the way.
	bystander := s.connect(t, name)
	exec(t, bystander, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class")

	said := mustRetain(t, s.open(t, name), r)
	holds(t, said, "Dropped "+first, "Dropped "+second, "10 rows", "its oldest row is of")
	expect(t, conn, "t", fmt.Sprintf("SELECT to_regclass('%s') IS NULL AND to_regclass('%s') IS NULL AND to_regclass('%s') IS NOT NULL", first, second, kept))
	expect(t, conn, "12", "SELECT count(*) FROM public.custom_audit_log")
	expect(t, conn, "10 "+first+", 10 "+second, `SELECT string_agg((row_data ->> 'rows') || ' ' || (row_data ->> 'partition'), ', ' ORDER BY id)
		FROM public.custom_audit_log WHERE event_type = 'RETENTION' AND table_name = 'custom_audit_log' AND session_user_name = current_user`)

	before := ask(t, conn, partitionCount)
	holds(t, mustRetain(t, s.open(t, name), r), "none was missing", "none was dropped")
	expect(t, conn, before, partitionCount)
	expect(t, conn, "12", "SELECT count(*) FROM public.custom_audit_log")

	for _, sql := range []string{"DELETE FROM public.custom_audit_log", "DELETE FROM " + kept, "TRUNCATE " + kept, "UPDATE public.custom_audit_log SET user_name = ''"} {
		if code := try(t, conn, sql); code != "42501" {
			t.Errorf("%s after retention: SQLSTATE %q", sql, code)
		}
	}
	holds(t, mustRetain(t, s.open(t, name), Retention{Keep: keep("forever"), Ahead: 5, Slot: name}), month(5).Format("custom_audit_log_2006_01"))
	expect(t, conn, "t", fmt.Sprintf("SELECT to_regclass('%s') IS NOT NULL", kept))
}

// printsWhatDropsPartitions runs the SQL as psql would.
func printsWhatDropsPartitions(t *testing.T, s *testServer) {
	name := s.installed(t)
	conn := s.connect(t, name)
	r := s.slot(t, name, "12mo")
	gone := old(t, conn, 14)
	d := s.open(t, name)
	var printed strings.Builder
	if err := d.PrintRetention(t.Context(), &printed, r); err != nil {
		t.Fatal(err)
	}
	holds(t, printed.String(), "DROP TABLE "+gone, "has expired", "SET lock_timeout = '5s'")
	s.follow(t, name)
	table, err := d.readTable(t.Context(), r.Keep)
	if err != nil {
		t.Fatal(err)
	}
	script, err := d.retentionScript(t.Context(), r, table)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range script {
		exec(t, conn, step.SQL)
	}
	expect(t, conn, "t", "SELECT to_regclass('"+gone+"') IS NULL")
	expect(t, conn, "10", "SELECT row_data ->> 'rows' FROM public.custom_audit_log WHERE event_type = 'RETENTION'")
}

func refusesToDrop(t *testing.T, s *testServer) {
	name := s.installed(t)
	conn := s.connect(t, name)
	r := s.slot(t, name, "12mo")
	r.Wait = 300 * time.Millisecond
	gone := old(t, conn, 14)
	expectRefusal := func(class error, parts ...string) {
		t.Helper()
		_, err := retain(t, s.open(t, name), r)
		if !errors.Is(err, class) {
			t.Fatalf("error %v, want %v", err, class)
		}
		holds(t, err.Error(), append(parts, gone, "nothing was removed")...)
		expect(t, conn, "10", "SELECT count(*) FROM public.custom_audit_log")
	}
	expectRefusal(ErrBehind, "slot "+name, "no consumer is connected", "short of")
	if s.version >= 17 {
		expectRefusal(ErrBehind, "connected since")
	}

	stop := s.follow(t, name)
	status := `{"source":{"slot":"` + name + `","table":"public.custom_audit_log","confirmed_lsn":"0/1"},"sinks":[{"name":"file","state":"ok"},{"name":"s3","state":"failing"}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(status)) }))
	defer server.Close()
	client, err := webclient.New(webclient.Config{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r.Status = []*webclient.Client{client}
	expectRefusal(ErrBehind, server.URL, "sink s3 is failing", "everything before 0/1")
	status = strings.Replace(status, "public.custom", "public.other", 1)
	expectRefusal(replication.ErrSetup, "follows public.custom_audit_log")
	status = `{"source":{"slot":"elsewhere","table":"public.custom_audit_log","confirmed_lsn":"FFFFFFFF/0"}}`
	expectRefusal(replication.ErrSetup, "slot elsewhere does not exist")
	status = "no JSON"
	expectRefusal(ErrBehind, server.URL)
	server.Close()
	expectRefusal(ErrBehind, server.URL)
	r.Status = nil
	stop()

	r.Slot = "missing"
	expectRefusal(replication.ErrSetup, "slot missing does not exist")
	if s.version == newestVersion {
		exec(t, conn, "SELECT pg_create_physical_replication_slot('physical')")
		r.Slot = "physical"
		expectRefusal(replication.ErrSetup, "not a logical slot of this database")
	}

	// Another run works.
	exec(t, conn, "SELECT pg_advisory_lock(hashtext('pgwitness.retention'), 'public.custom_audit_log'::regclass::oid::int8::bit(32)::int4)")
	if _, err := retain(t, s.open(t, name), r); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("beside another run: %v", err)
	}
}

// newestVersion is where a test needs to be run on one version only.
const newestVersion = 18

// waitsForWriters has somebody write into an expired partition just then.
func waitsForWriters(t *testing.T, s *testServer) {
	name := s.installed(t)
	conn := s.connect(t, name)
	r := s.slot(t, name, "12mo")
	gone := old(t, conn, 14)
	s.follow(t, name)
	writer := s.connect(t, name)
	exec(t, writer, "BEGIN")
	insertAt(t, writer, month(-14))

	impatient := s.open(t, name)
	impatient.cfg.LockTimeout = 100 * time.Millisecond
	_, err := retain(t, impatient, r)
	if err == nil || !strings.Contains(err.Error(), "55P03") || !strings.Contains(err.Error(), "--lock-timeout") {
		t.Fatalf("beside a writer: %v", err)
	}
	expect(t, conn, "t", "SELECT to_regclass('"+gone+"') IS NOT NULL")

	// A patient one gets its lock with the writer's end, and counts its row.
	said, done := "", make(chan error, 1)
	d := s.open(t, name)
	go func() {
		var b strings.Builder
		err := d.Retain(context.Background(), &b, r)
		said = b.String()
		done <- err
	}()
	awaitTrue(t, conn, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'ShareLock' AND relation = '"+gone+"'::regclass)")
	exec(t, writer, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	holds(t, said, "11 rows")
}

func awaitTrue(t *testing.T, conn *pgconn.PgConn, sql string) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for ask(t, conn, sql) != "t" {
		select {
		case <-ticker.C:
		case <-limit.C:
			t.Fatalf("not in time: %s", sql)
		}
	}
}

// keepsWritersWaitingNoLonger has a reader in the way of the last lock, behind which writers wait.
func keepsWritersWaitingNoLonger(t *testing.T, s *testServer) {
	name := s.installed(t)
	conn := s.connect(t, name)
	r := s.slot(t, name, "12mo")
	gone := old(t, conn, 14)
	s.follow(t, name)
	reader := s.connect(t, name)
	exec(t, reader, "BEGIN; SELECT count(*) FROM public.custom_audit_log")

	const lockTimeout = 500 * time.Millisecond
	d := s.open(t, name)
	d.cfg.LockTimeout = lockTimeout
	done := make(chan error, 1)
	go func() { done <- d.Retain(context.Background(), new(strings.Builder), r) }()
	awaitTrue(t, conn, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = 'public.custom_audit_log'::regclass)")
	began := time.Now()
	exec(t, conn, "SET statement_timeout = '10s'")
	insertAt(t, conn, time.Now())
	const slack = 2 * time.Second // of a busy machine
	if waited := time.Since(began); waited > lockTimeout+slack {
		t.Errorf("a writer waited for %v, with a lock timeout of %v", waited, lockTimeout)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "--lock-timeout") || !strings.Contains(err.Error(), gone) {
		t.Errorf("beside a reader: %v", err)
	}
	expect(t, conn, "11", "SELECT count(*) FROM public.custom_audit_log")
	exec(t, reader, "COMMIT")
	mustRetain(t, s.open(t, name), r)
	expect(t, conn, "2", "SELECT count(*) FROM public.custom_audit_log")
}

// repairsDefault has rows for which nobody made partitions, of the month before and of this one.
func repairsDefault(t *testing.T, s *testServer) {
	name := s.installed(t)
	conn := s.connect(t, name)
	r := s.slot(t, name, "12mo")
	s.follow(t, name)
	exec(t, conn, "DROP TABLE pgwitness.custom_audit_log_"+month(0).Format("2006_01"))
	insertAt(t, conn, month(-1).AddDate(0, 0, 5))
	insertAt(t, conn, time.Now())
	before := ask(t, conn, "SELECT string_agg(a::text, ';' ORDER BY id) FROM public.custom_audit_log a")

	home := "custom_audit_log_" + month(-1).Format("2006_01") + "_to_" + month(0).Format("2006_01") + "_from_default"
	span := month(-1).Format(time.DateOnly) + " to " + month(1).Format(time.DateOnly)
	holds(t, mustRetain(t, s.open(t, name), r), "custom_audit_log_default held 2 rows", home, span)
	expect(t, conn, before, "SELECT string_agg(a::text, ';' ORDER BY id) FROM pgwitness."+home+" a")
	expect(t, conn, "0", "SELECT count(*) FROM pgwitness.custom_audit_log_default")
	expect(t, conn, "t", `SELECT bool_and(relowner = 'pgwitness_audit'::regrole AND coalesce(tgenabled = 'A', false)) AND count(*) = 5
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid LEFT JOIN pg_trigger ON tgrelid = inhrelid AND tgname = 'pgwitness_refuse'
		WHERE inhparent = 'public.custom_audit_log'::regclass`)
	insertAt(t, conn, time.Now())
	expect(t, conn, "3", "SELECT count(*) FROM pgwitness."+home)
	holds(t, mustRetain(t, s.open(t, name), r), "none was missing")
}

// leavesScatteredStrays has stray rows on both sides of a partition. What has expired goes all the same.
func leavesScatteredStrays(t *testing.T, s *testServer) {
	name := s.installed(t)
	conn := s.connect(t, name)
	r := s.slot(t, name, "12mo")
	s.follow(t, name)
	gone := old(t, conn, 14)
	insertAt(t, conn, month(-3))
	insertAt(t, conn, month(30))
	_, err := retain(t, s.open(t, name), r)
	if !errors.Is(err, replication.ErrSetup) {
		t.Fatalf("error %v, want %v", err, replication.ErrSetup)
	}
	holds(t, err.Error(), "custom_audit_log_default holds 2 rows", "by hand")
	expect(t, conn, "t", "SELECT to_regclass('"+gone+"') IS NULL")
	expect(t, conn, "2", "SELECT count(*) FROM pgwitness.custom_audit_log_default")
}

// TestRetentionRefusesTables has tables of which nobody can say what has expired.
func TestRetentionRefusesTables(t *testing.T) {
	s := startServer(t, newestVersion)
	for i, c := range []struct{ sql, want string }{
		{"", "does not exist"},
		{"CREATE VIEW custom_audit_log AS SELECT localtimestamp AS event_timestamp", "not a table"},
		{"CREATE TABLE custom_audit_log (id int, event_timestamp text)", "no column event_timestamp"},
		{"CREATE TABLE custom_audit_log (id int, at timestamptz)", "no column event_timestamp"},
		{"CREATE TABLE custom_audit_log (id int, event_timestamp timestamptz) PARTITION BY RANGE (id)", "partitioned otherwise"},
		{"CREATE TABLE custom_audit_log (id int, event_timestamp timestamptz) PARTITION BY RANGE (event_timestamp, id)", "partitioned otherwise"},
		{"CREATE TABLE custom_audit_log (id int, event_timestamp timestamptz) PARTITION BY HASH (event_timestamp)", "partitioned otherwise"},
		{"CREATE TABLE custom_audit_log (id int, event_timestamp timestamptz) PARTITION BY RANGE (date_trunc('day', event_timestamp, 'UTC'))", "partitioned otherwise"},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			name := s.database(t)
			exec(t, s.connect(t, name), c.sql)
			r := Retention{Keep: keep("1y"), Slot: name}
			for what, do := range map[string]func(*Database) error{
				"apply": func(d *Database) error { _, err := retain(t, d, r); return err },
				"print": func(d *Database) error { return d.PrintRetention(t.Context(), new(strings.Builder), r) },
			} {
				if err := do(s.open(t, name)); !errors.Is(err, replication.ErrSetup) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v, want %q", what, err, c.want)
				}
			}
		})
	}
}
