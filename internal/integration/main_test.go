package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/witnesstest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait for most of their time, so there may be more of them at once than there are processors.
	if err := flag.Set("test.parallel", "12"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	witnesstest.Main(m)
}

// The exit codes that scripts rely on.
const (
	exitDone     = 0
	exitFailed   = 1
	exitSetup    = 3
	exitEvidence = 4
)

// soon is how long anything may take that takes a moment on a quiet machine.
const soon = 30 * time.Second

// start starts a server that is shut down at the end of the test.
func start(t *testing.T, version int, settings map[string]string) *embeddedpg.Server {
	t.Helper()
	return pgtest.Start(t, embeddedpg.Config{Version: version, Settings: settings})
}

// insert changes a row of the audited table, n times in one transaction.
func insert(t *testing.T, d *witnesstest.Database, n int) {
	t.Helper()
	d.Exec(t, fmt.Sprintf("INSERT INTO your_table (column_name) SELECT 'row ' || n FROM generate_series(1, %d) n", n))
}

// deliver runs pgwitness until it has delivered a row, and kills it: from then on the slot has been used.
func deliver(t *testing.T, d *witnesstest.Database, cfg witnesstest.Config) {
	t.Helper()
	p := witnesstest.Run(t, cfg)
	insert(t, d, 1)
	d.AwaitConfirmed(t, soon)
	p.Kill()
	d.AwaitIdle(t)
}

// event is a line of output, as far as the tests look at it.
type event struct {
	Kind, Op, Table, LSN string
	Seq                  uint64
	Row                  json.RawMessage
}

// id is the row's id, 0 where there is none.
func (e event) id() int {
	var row struct{ ID int }
	_ = json.Unmarshal(e.Row, &row) // a tampering that has no row, or a row without an id
	return row.ID
}

// readFile returns the events in the file sink's file, none if there is no file.
func readFile(t *testing.T, cfg witnesstest.Config) []event {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(cfg.Dir, "audit.jsonl"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var events []event
	for line := range bytes.Lines(text) {
		if bytes.HasSuffix(line, []byte("\n")) { // a killed process leaves half a line
			events = append(events, parse(t, line))
		}
	}
	return events
}

func parse(t *testing.T, line []byte) event {
	t.Helper()
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		t.Errorf("%v: %.200s", err, line)
	}
	return e
}

// expectTable compares the ids of events with those that the table holds: the rows that a test inserts one after another
// have their ids in commit order.
func expectTable(t *testing.T, d *witnesstest.Database, events []event) {
	t.Helper()
	expectIDs(t, events, d.Query(t, "SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM custom_audit_log"))
}

func expectIDs(t *testing.T, events []event, want string) {
	t.Helper()
	var ids []string
	for _, e := range events {
		ids = append(ids, fmt.Sprint(e.id()))
	}
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("got %d events, ids %.300s\nwant %d, ids %.300s", len(ids), got, len(strings.Fields(want)), want)
	}
}

// expectExit waits for p to end with code, and for each text on its standard error, whose last line is the error.
func expectExit(t *testing.T, p *witnesstest.Process, code int, texts ...string) {
	t.Helper()
	if got := p.ExitCode(t, soon); got != code {
		t.Errorf("exit code %d, want %d; standard error:\n%s", got, code, p.Stderr())
	}
	lines := strings.Split(strings.TrimSpace(p.Stderr()), "\n")
	last := lines[len(lines)-1]
	for _, text := range texts {
		if !strings.Contains(last, text) {
			t.Errorf("the error does not say %q: %s", text, last)
		}
	}
	if strings.Contains(p.Stderr(), witnesstest.RolePassword) {
		t.Errorf("the password is on standard error")
	}
}

// stdout takes a process's standard output. It can be stuck, as a pipe whose reader does not read.
type stdout struct {
	writer *os.File // for the process
	reader *os.File
	t      *testing.T

	mu     sync.Mutex
	events []event // guarded by mu
	done   chan struct{}
}

func newStdout(t *testing.T) *stdout {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := &stdout{writer: writer, reader: reader, t: t, done: make(chan struct{})}
	close(o.done)
	t.Cleanup(func() {
		_ = writer.Close()
		<-o.done
		_ = reader.Close()
	})
	return o
}

// read begins to read, until every process has closed the other end.
func (o *stdout) read() {
	o.done = make(chan struct{})
	go func() {
		defer close(o.done)
		lines := bufio.NewReaderSize(o.reader, 1<<20)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			e := parse(o.t, line)
			o.mu.Lock()
			o.events = append(o.events, e)
			o.mu.Unlock()
		}
	}()
}

func (o *stdout) all() []event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clip(o.events)
}

func (o *stdout) await(t *testing.T, n int) {
	t.Helper()
	if !witnesstest.Poll(2*soon, func() bool { return len(o.all()) >= n }) {
		t.Fatalf("%d events on standard output, want %d", len(o.all()), n)
	}
}
