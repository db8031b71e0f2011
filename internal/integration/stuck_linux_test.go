package integration

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// residentMB is the memory of the process that is not swapped out, and neither shared with others nor a file's.
func residentMB(t *testing.T, p *witnesstest.Process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kB, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return kB >> 10
		}
	}
	t.Fatalf("no RssAnon in %s", bytes.TrimSpace(text))
	return 0
}

// TestStuckSink lets a sink hang, with less pending than the buffer holds and with much more.
func TestStuckSink(t *testing.T) {
	t.Parallel()
	for _, backlog := range []struct {
		name string
		sql  string
		rows int
	}{
		{"small backlog", "INSERT INTO custom_audit_log (event_type) SELECT repeat('x', 50) FROM generate_series(1, 5000)", 5000},
		{"200 MB", "INSERT INTO custom_audit_log (row_data) SELECT jsonb_build_object('x', repeat('x', 1800)) FROM generate_series(1, 110000)", 110_000},
	} {
		t.Run(backlog.name, func(t *testing.T) {
			t.Parallel()
			d := witnesstest.NewDatabase(t, start(t, 0, map[string]string{"wal_sender_timeout": "2s", "max_wal_size": "2GB"}))
			out := newStdout(t)
			cfg := d.Config(t)
			cfg.Sinks = "[{type: stdout}]"
			cfg.Stdout = out.writer
			p := witnesstest.Run(t, cfg)
			d.AwaitActive(t)
			pid := d.Query(t, "SELECT active_pid::text FROM pg_replication_slots")
			d.Exec(t, backlog.sql)
			end := d.Query(t, "SELECT pg_current_wal_insert_lsn()::text")

			most := 0
			witnesstest.Poll(7*time.Second, func() bool { // three times wal_sender_timeout
				most = max(most, residentMB(t, p))
				return false
			})
			t.Logf("at most %d MB resident", most)
			const buffer, program = 16, 24
			if most > buffer+program {
				t.Errorf("%d MB resident", most)
			}
			d.Await(t, "active_pid = "+pid+" FROM pg_replication_slots", time.Second)
			if log, err := os.ReadFile(d.Server.LogFile()); err != nil || bytes.Contains(log, []byte("due to replication timeout")) {
				t.Errorf("the server has lost patience with the consumer (%v)", err)
			}
			d.Await(t, "confirmed_flush_lsn < '"+end+"' FROM pg_replication_slots", time.Second)

			if took := d.StopServer(t, embeddedpg.Fast); took > 10*time.Second {
				t.Errorf("the server needed %v to stop", took)
			}
			d.StartServer(t)
			out.read()
			out.await(t, backlog.rows)
			insert(t, d, 1)
			d.AwaitConfirmed(t, soon)
			expectTable(t, d, out.all())
		})
	}
}

// TestStopWithStuckSink asks a process to stop whose sink hangs: it leaves when the grace period is over.
func TestStopWithStuckSink(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, nil))
	cfg := d.Config(t)
	cfg.Sinks = fmt.Sprintf("[{type: stdout}, {type: file, path: %q}]", cfg.Dir+"/audit.jsonl")
	cfg.Stdout = newStdout(t).writer
	cfg.Environ = []string{"PGWITNESS_SHUTDOWN_GRACE=1s"}
	p := witnesstest.Run(t, cfg)
	d.AwaitActive(t)
	insert(t, d, 3000)
	if !witnesstest.Poll(soon, func() bool { return len(readFile(t, cfg)) > 0 }) {
		t.Fatal("the sink that is not stuck has got nothing")
	}
	began := time.Now()
	p.Signal(t, syscall.SIGTERM)
	expectExit(t, p, exitDone)
	if took := time.Since(began); took < time.Second || took > 3*time.Second {
		t.Errorf("left after %v, with a grace period of 1 s", took)
	}
	// Nothing was confirmed, so all of it comes again, and the file knows what it has.
	cfg.Sinks = ""
	witnesstest.Run(t, cfg)
	insert(t, d, 1)
	d.AwaitConfirmed(t, soon)
	expectTable(t, d, readFile(t, cfg))
}

// TestStopInLargeTransaction asks the process to stop in the midst of a transaction, while one of its sinks is slow.
func TestStopInLargeTransaction(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, nil))
	cfg := d.Config(t)
	file := fmt.Sprintf("{type: file, path: %q}", cfg.Dir+"/audit.jsonl")
	cfg.Sinks = "[{type: stdout}, " + file + "]"
	out := newStdout(t)
	cfg.Stdout = out.writer
	cfg.Environ = []string{"PGWITNESS_BUFFER_MAX_BYTES=256KiB"}
	p := witnesstest.Run(t, cfg)
	d.AwaitActive(t)
	insert(t, d, 20_000)
	if !witnesstest.Poll(soon, func() bool { return len(readFile(t, cfg)) > 0 }) {
		t.Fatal("nothing is delivered")
	}
	p.Signal(t, syscall.SIGTERM)
	out.read() // what is in hand can be finished now
	expectExit(t, p, exitDone)
	if held := len(readFile(t, cfg)); held == 0 || held == 20_000 {
		t.Errorf("the process was to stop in the midst of the transaction, and delivered %d rows", held)
	}
	cfg.Sinks = "[" + file + "]"
	witnesstest.Run(t, cfg)
	d.AwaitConfirmed(t, soon)
	expectTable(t, d, readFile(t, cfg))
}

// TestOutputOverFailover fails over while standard output holds half a line: the process goes on at that byte.
func TestOutputOverFailover(t *testing.T) {
	t.Parallel()
	p := newPair(t, 18, map[string]string{"synchronized_standby_slots": "standby"})
	out := newStdout(t)
	p.config.Sinks, p.config.Stdout, p.config.Environ = "[{type: stdout}]", out.writer, []string{"PGWITNESS_SHUTDOWN_GRACE=1s"}
	process := witnesstest.Run(t, p.config)
	p.AwaitActive(t)
	insert(t, p.Database, 3000) // more than a pipe holds, and nobody reads
	p.AwaitReplayed(t, p.standby)
	const pipe = 64 << 10
	held := func() int {
		n, err := unix.IoctlGetInt(int(out.reader.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if !witnesstest.Poll(soon, func() bool { return held() == pipe }) {
		t.Fatalf("standard output is not stuck: it holds %d bytes", held())
	}
	p.failOver(t)
	p.AwaitActive(t)
	out.read()
	insert(t, p.Database, 10)
	p.AwaitConfirmed(t, soon)
	process.Signal(t, syscall.SIGTERM)
	expectExit(t, process, exitDone)
	out.await(t, 3010)
	expectTable(t, p.Database, out.all())
}
