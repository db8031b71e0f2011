package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgwitness/internal/witnesstest"
	"pgwitness/scripts"
)

// TestRetention removes expired rows under load, of both kinds of table: not while nobody delivers them, and then without
// anything missing in the file.
func TestRetention(t *testing.T) {
	for _, version := range []int{14, 17, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			server := start(t, version, nil)
			t.Run("rows", func(t *testing.T) {
				d := witnesstest.NewBareDatabase(t, server)
				d.Exec(t, "CREATE PUBLICATION "+d.Name+" FOR TABLE custom_audit_log")
				d.CreateSlot(t)
				d.Exec(t, `INSERT INTO custom_audit_log (event_type, event_timestamp, row_data)
					SELECT 'INSERT', localtimestamp - interval '400 days', '{"id": 0}' FROM generate_series(1, 1000)`)
				retire(t, d, "SELECT count(*) = 1000 FROM custom_audit_log WHERE event_timestamp < localtimestamp - interval '1 day'",
					"Deleted 1000 rows", "retention delete 1000, ")
			})
			t.Run("partitions", func(t *testing.T) {
				d := witnesstest.NewBareDatabase(t, server)
				d.Exec(t, "DROP TRIGGER custom_audit_trigger ON your_table; DROP TABLE custom_audit_log")
				d.Exec(t, "BEGIN;"+scripts.Capture+scripts.Install+`COMMIT;
					CREATE TRIGGER pgwitness_capture AFTER INSERT ON your_table FOR EACH ROW EXECUTE FUNCTION pgwitness.capture('id');
					CREATE TABLE pgwitness.expired PARTITION OF custom_audit_log FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')`)
				d.Exec(t, "CREATE PUBLICATION "+d.Name+" FOR TABLE custom_audit_log WITH (publish_via_partition_root = true)")
				d.CreateSlot(t)
				d.Exec(t, `INSERT INTO custom_audit_log (event_type, event_timestamp, user_name, session_user_name, tx_id)
					SELECT 'INSERT', '2020-01-02Z', 'app', 'app', 1 FROM generate_series(1, 1000)`)
				retire(t, d, "SELECT to_regclass('pgwitness.expired') IS NOT NULL", "Dropped pgwitness.expired", "")
			})
		})
	}
}

// retire has the expired rows of d removed, which there says are still there, with retention saying said and the stream
// told of changes beside the inserts.
func retire(t *testing.T, d *witnesstest.Database, there, said, changes string) {
	cfg := d.Config(t)
	deliver(t, d, cfg)
	stopWriting := write(t, d)
	retention := func(code int, flags ...string) string {
		t.Helper()
		cmd := exec.Command(witnesstest.Binary(t), append([]string{"audit", "retention", "--keep", "12mo", "--slot", d.Name, "--batch", "300"}, flags...)...)
		cmd.Env = append(os.Environ(), "PGWITNESS_SOURCE_DSN="+d.AdminDSN())
		output, _ := cmd.CombinedOutput() // the exit code tells more than the error
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("retention left with %d, want %d:\n%s", got, code, output)
		}
		return string(output)
	}
	retention(exitDone) // prints
	if output := retention(exitFailed, "--apply", "--wait", "500ms"); !strings.Contains(output, "slot "+d.Name+" is ") || !strings.Contains(output, "nothing was removed") {
		t.Errorf("while nobody delivers, retention said:\n%s", output)
	}
	if d.Query(t, "SELECT ("+there+")::text") != "true" {
		t.Fatal("rows were removed that nobody had delivered")
	}
	retention(exitSetup, "--apply", "--slot", "missing")

	cfg.Environ = append(cfg.Environ, "PGWITNESS_HTTP_LISTEN=127.0.0.1:0")
	p := witnesstest.Run(t, cfg)
	p.AwaitLog(t, "serving /metrics", soon)
	_, address, _ := strings.Cut(p.Stderr(), "address=")
	if address == "" {
		_, address, _ = strings.Cut(p.Stderr(), `"address":"`)
	}
	address = strings.FieldsFunc(address, func(r rune) bool { return r == '"' || r == '\n' || r == ' ' })[0]
	output := retention(exitDone, "--apply", "--wait", "30s", "--status", "http://"+address+"/status")
	if !strings.Contains(output, said) || !strings.Contains(output, "its oldest row is of") {
		t.Errorf("retention said:\n%s", output)
	}
	if d.Query(t, "SELECT ("+there+")::text") != "false" {
		t.Error("the expired rows are still there")
	}
	stopWriting()
	d.AwaitConfirmed(t, soon)

	// Ids have no gaps here: whatever was written is in the file, whether it is still in the table or not.
	last, err := strconv.Atoi(d.Query(t, "SELECT max(id)::text FROM custom_audit_log"))
	if err != nil {
		t.Fatal(err)
	}
	counts, delivered, entries := map[string]int{}, map[int]bool{}, 0
	for _, e := range readFile(t, cfg) {
		if e.Kind == "audit" {
			delivered[e.id()] = true
			if strings.Contains(string(e.Row), `"RETENTION"`) {
				entries++
			}
			continue
		}
		counts[e.Kind+" "+e.Op]++
	}
	for id := 1; id <= last; id++ {
		if !delivered[id] {
			t.Fatalf("row %d of %d is not in %s", id, last, filepath.Join(cfg.Dir, "audit.jsonl"))
		}
	}
	if len(delivered) != last || entries != 1 {
		t.Errorf("%d rows were delivered, %d of them of retention; want %d and 1", len(delivered), entries, last)
	}
	var told strings.Builder
	for what, n := range counts {
		fmt.Fprintf(&told, "%s %d, ", what, n)
	}
	if told.String() != changes {
		t.Errorf("the stream told of %q, want %q", &told, changes)
	}
}

// write writes into the audited table, a row a transaction, until it is stopped or the test ends.
func write(t *testing.T, d *witnesstest.Database) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := pgx.Connect(t.Context(), d.AdminDSN())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer conn.Close(context.Background())
		pause := time.NewTicker(time.Millisecond)
		defer pause.Stop()
		for ctx.Err() == nil {
			if _, err := conn.Exec(context.Background(), "INSERT INTO your_table (column_name) VALUES ('under load')"); err != nil {
				t.Errorf("writing: %v", err)
				return
			}
			<-pause.C
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}
