package replication

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
)

// observed is what a Monitor has told, and lets tests wait for more of it.
type observed struct {
	mu        sync.Mutex
	answering bool
	server    ServerState
	slot      SlotState
	table     *TableState
	tables    int // how often it was told of
	standbys  map[string]StandbyState
	changed   chan struct{} // closed by each change
}

func newObserved() *observed {
	return &observed{standbys: map[string]StandbyState{}, changed: make(chan struct{})}
}

func (o *observed) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *observed) Answering(is bool)             { o.set(func() { o.answering = is }) }
func (o *observed) ObserveServer(s ServerState)   { o.set(func() { o.server = s }) }
func (o *observed) ObserveSlot(s SlotState)       { o.set(func() { o.slot = s }) }
func (o *observed) ObserveTable(s *TableState)    { o.set(func() { o.table = s; o.tables++ }) }
func (o *observed) ObserveStandby(s StandbyState) { o.set(func() { o.standbys[s.Name] = s }) }

// last returns what was told last.
func (o *observed) last() (ServerState, SlotState, *TableState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.server, o.slot, o.table
}

// await waits until condition, which it calls with the lock held, is true.
func (o *observed) await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		o.mu.Lock()
		done, changed := condition(), o.changed
		o.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit:
			o.mu.Lock()
			defer o.mu.Unlock()
			t.Fatalf("never seen: %s; the last is %+v, %+v, %+v, %+v", what, o.server, o.slot, o.table, o.standbys)
		}
	}
}

// audited is a database with an audit table, a publication, a slot, and a role that may follow them and read nothing.
type audited struct {
	server *embeddedpg.Server
	admin  *pgconn.PgConn
	cfg    Config
}

func newAudited(t *testing.T, version int, settings map[string]string) *audited {
	t.Helper()
	a := &audited{server: pgtest.Start(t, embeddedpg.Config{Version: version, Settings: settings})}
	config, err := pgconn.ParseConfig(a.server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	a.admin = pgtest.Connect(t, config)
	a.exec(t, `CREATE TABLE custom_audit_log (id serial PRIMARY KEY, event_type text, event_timestamp timestamp, row_data text)`)
	a.exec(t, "CREATE ROLE witness LOGIN REPLICATION PASSWORD 'witness'")
	a.exec(t, "CREATE PUBLICATION pgwitness FOR TABLE custom_audit_log")
	a.exec(t, "SELECT pg_create_logical_replication_slot('pgwitness', 'pgoutput')")
	a.cfg = Config{
		ConnConfig: func() (*pgconn.Config, error) {
			config, err := pgconn.ParseConfig(a.server.DSN("postgres"))
			config.User, config.Password = "witness", "witness"
			return config, err
		},
		Slot: "pgwitness", Publication: "pgwitness", Schema: "public", Table: "custom_audit_log",
		Logger: slog.New(slog.DiscardHandler),
	}
	return a
}

func (a *audited) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := a.admin.Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// scans is how often tables were read from one end to the other, as far as sessions that have ended did it.
func (a *audited) scans(t *testing.T) string {
	t.Helper()
	a.exec(t, "SELECT pg_stat_force_next_flush()")
	text, err := queryText(t.Context(), a.admin, "SELECT sum(seq_scan)::text FROM pg_stat_user_tables")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// follow streams, and confirms at once, until the function that it returns is called.
func follow(t *testing.T, s *Stream) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("the stream ended: %v", err)
		}
	})
	both.Go(func() {
		for {
			batch, err := s.Next(ctx)
			if err != nil {
				return
			}
			s.Confirm(batch.End)
		}
	})
	return func() {
		cancel()
		both.Wait()
	}
}

// monitor watches until the test ends, or the function that it returns is called.
func monitor(t *testing.T, s *Stream, o MonitorObserver) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := NewMonitor(s, 50*time.Millisecond, o).Run(ctx); err != nil {
			t.Errorf("the monitor ended: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func TestMonitorMeasures(t *testing.T) {
	for _, version := range pgtest.Versions([]int{14, 15, 16, 17, 18}) {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			a := newAudited(t, version, map[string]string{"logical_decoding_work_mem": "64kB", "max_slot_wal_keep_size": "1GB"})
			stream, o := NewStream(a.cfg), newObserved()
			stop := monitor(t, stream, o)

			// Without a stream the slot is in sight all the same.
			o.await(t, "an inactive slot", func() bool {
				since := version < 17 && o.slot.InactiveSince == nil && o.slot.Failover == nil ||
					version >= 17 && o.slot.InactiveSince != nil && o.slot.Failover != nil && !*o.slot.Failover
				return o.answering && since && !o.slot.Active && o.slot.SafeWAL != nil && o.slot.WALStatus == "reserved"
			})
			o.await(t, "the table's size", func() bool { return o.table != nil && o.table.Bytes > 0 })
			server, before, _ := o.last()
			if server.Timeline != 1 || math.Abs(server.ClockOffset.Seconds()) > 1 {
				t.Errorf("the server is on timeline %d and off by %v", server.Timeline, server.ClockOffset)
			}

			a.exec(t, "INSERT INTO custom_audit_log (event_timestamp, row_data) SELECT 'epoch'::timestamp + n * interval '1 s', repeat('x', 500) FROM generate_series(100, 2000) n")
			o.await(t, "WAL that is retained", func() bool { return o.slot.RetainedWAL > before.RetainedWAL && o.slot.ConfirmedLag > 500*1900 })
			defer follow(t, stream)()
			o.await(t, "a consumer", func() bool { return o.slot.Active && o.slot.InactiveSince == nil && o.slot.ConfirmedLag == 0 })
			o.await(t, "a transaction that was spilled", func() bool {
				return o.slot.SpilledTransactions == 1 && o.slot.SpilledBytes > 500*1900
			})
			if _, _, table := o.last(); table.Oldest != nil {
				t.Errorf("the oldest row is read without a right to: %v", table.Oldest)
			}
			stop()
			o.await(t, "that nobody is answered any more", func() bool { return !o.answering })
			if log, err := os.ReadFile(a.server.LogFile()); err != nil || bytes.Contains(log, []byte("ERROR:")) {
				t.Errorf("what may not be read was tried all the same (%v):\n%s", err, log)
			}

			a.exec(t, "GRANT SELECT ON custom_audit_log TO witness")
			stop = monitor(t, stream, o)
			o.await(t, "the oldest row", func() bool { return o.table.Oldest != nil && o.table.Oldest.Unix() == 100 && o.table.Bytes > 500*1900 })
			stop()
			a.exec(t, "DELETE FROM custom_audit_log")
			o.set(func() { o.tables = 0 })
			monitor(t, stream, o)
			o.await(t, "an empty table", func() bool { return o.tables == 1 && o.table != nil && o.table.Oldest == nil })
		})
	}
}

// A table that somebody has locked leaves the slot in sight.
func TestMonitorOfLockedTable(t *testing.T) {
	t.Parallel()
	a := newAudited(t, 0, nil)
	stream, o := NewStream(a.cfg), newObserved()
	defer follow(t, stream)()
	stop := monitor(t, stream, o)
	o.await(t, "the table", func() bool { return o.table != nil })
	stop()
	a.exec(t, "BEGIN; LOCK custom_audit_log")
	o.set(func() { o.tables = 0 })
	stop = monitor(t, stream, o)
	o.await(t, "a table that is locked", func() bool { return o.tables == 1 && o.table == nil })
	_, first, _ := o.last()
	o.await(t, "the slot beside it", func() bool { return o.answering && o.slot.At.Sub(first.At) > time.Second })
	stop()
	a.exec(t, "COMMIT")
}

// By the key's index alone, whatever the table is like.
func TestOldestRow(t *testing.T) {
	t.Parallel()
	a := newAudited(t, 0, nil)
	for i, test := range []struct{ table, rows, want string }{
		{"(id int PRIMARY KEY, event_timestamp timestamptz)", "(2, '2026-01-02 00:00Z'), (1, '2026-01-03 00:00Z')", "2026-01-03T00:00:00Z"},
		{`(event_timestamp timestamptz, "a B" int, PRIMARY KEY ("a B", event_timestamp)) PARTITION BY RANGE (event_timestamp)`,
			"('2026-01-02 00:00Z', 7), ('2026-02-02 00:00Z', 3)", "2026-02-02T00:00:00Z"},
		{"(id int PRIMARY KEY, event_timestamp timestamptz)", "(1, '-infinity')", ""},
		{"(id int PRIMARY KEY, event_timestamp timestamptz)", "(1, NULL)", ""},
		{"(id int PRIMARY KEY, event_timestamp text)", "(1, 'yesterday')", ""},
		{"(id int, event_timestamp timestamptz)", "(1, now())", ""},
	} {
		name := "Table " + strconv.Itoa(i)
		a.exec(t, fmt.Sprintf(`CREATE TABLE %q %s`, name, test.table))
		for month := range 2 {
			if i == 1 {
				a.exec(t, fmt.Sprintf(`CREATE TABLE part%d PARTITION OF %q FOR VALUES FROM ('2026-0%d-01Z') TO ('2026-0%d-01Z')`, month, name, month+1, month+2))
			}
		}
		a.exec(t, fmt.Sprintf(`INSERT INTO %q VALUES %s; GRANT SELECT ON %q TO witness; ANALYZE %q`, name, test.rows, name, name))
		config, err := a.cfg.ConnConfig()
		if err != nil {
			t.Fatal(err)
		}
		scans := a.scans(t)
		conn, err := pgconn.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		state, err := readTable(t.Context(), conn, target{schema: "public", table: name})
		hangUp(conn) // by which its statistics become known
		if err != nil || state == nil || state.Bytes == 0 {
			t.Fatalf("%s: %+v, %v", name, state, err)
		}
		if after := a.scans(t); after != scans {
			t.Errorf("%s: %s sequential scans before, %s after", test.table, scans, after)
		}
		got := ""
		if state.Oldest != nil {
			got = state.Oldest.UTC().Format(time.RFC3339)
		}
		if got != test.want {
			t.Errorf("%s: the oldest row is of %q, want %q", test.table, got, test.want)
		}
	}
}
