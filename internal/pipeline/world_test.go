package pipeline_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
	"pgwitness/internal/walsendertest"
	"pgwitness/sink/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a simulated server, sinks and checkpoint, which outlive the runs of the pipeline between them. At each flush
// position that the server is told it checks the promise: everything before it is durable in every sink, and the
// checkpoint knows.
type world struct {
	t       *testing.T
	server  *walsendertest.Server
	sinks   []*memSink
	letters map[int]*memSink        // the dead letters of a sink, by its index
	filters map[int]pipeline.Filter // likewise
	file    string                  // of the first sink's dead letters, which are not looked at then
	buffer  int
	endPos  decoder.LSN

	mu    sync.Mutex
	mark  *replication.Mark
	txs   []walsendertest.Transaction
	saves func() error // what Save returns; nil for success
}

// simulate runs body in a world with the given sinks under a clock of its own.
func simulate(t *testing.T, sinks func(*testing.T) []*memSink, body func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, sinks: sinks(t)}
		w.server = walsendertest.New(t, w.flushed)
		body(w)
	})
}

func oneSink(t *testing.T) []*memSink { return []*memSink{newMemSink(t, true)} }

// Save implements pipeline.Checkpoint.
func (w *world) Save(mark replication.Mark) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.saves != nil {
		if err := w.saves(); err != nil {
			return err
		}
	}
	w.mark = &mark
	return nil
}

func (w *world) flushed(lsn decoder.LSN) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if lsn > walsendertest.Start && (w.mark == nil || w.mark.Confirmed < lsn) {
		w.t.Errorf("flush position %s was told to the server before the checkpoint held it", lsn)
	}
	for i, s := range w.sinks {
		missing := s.lacks(w.positions(i, lsn))
		if letters := w.letters[i]; letters != nil {
			missing = letters.lacks(missing)
		}
		if len(missing) > 0 && (i > 0 || w.file == "") {
			w.t.Errorf("flush position %s was told to the server while event %s was not durable", lsn, missing[0])
		}
	}
}

// positions are those of all events for a sink, by its index, that were committed before end.
func (w *world) positions(sink int, end decoder.LSN) (all []decoder.Position) {
	tables := w.filters[sink].Tables
	for _, tx := range w.txs {
		for seq := range tx.Rows {
			passes := len(tables) == 0 || pgoutputtest.AuditedTable(tx.FirstID+seq) == tables[0].Name
			if tx.Commit < end && passes {
				all = append(all, decoder.Position{LSN: tx.Commit, Seq: uint64(seq)})
			}
		}
	}
	return all
}

// commit has the server commit a transaction of that many rows.
func (w *world) commit(rows int) walsendertest.Transaction {
	w.mu.Lock()
	defer w.mu.Unlock()
	tx := w.server.Commit(rows)
	w.txs = append(w.txs, tx)
	return tx
}

// run is one run of the pipeline.
type run struct {
	w      *world
	cancel context.CancelCauseFunc
	done   chan error
}

var errAsked = errors.New("asked to stop")

func (w *world) start() *run {
	previous := func() (*replication.Mark, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.mark, nil
	}
	log := slog.New(slog.NewTextHandler(w.t.Output(), nil))
	stream := replication.NewStream(replication.Config{
		ConnConfig: w.server.ConnConfig, Slot: "pgwitness", Publication: "pgwitness",
		Schema: "public", Table: "custom_audit_log", Previous: previous, EndPos: w.endPos,
		BufferBytes: w.buffer, Logger: log,
	})
	monitor := replication.NewMonitor(stream, 0, nil)
	cfg := pipeline.Config{Stream: stream, Monitor: monitor, Checkpoint: w, Logger: log}
	for i, s := range w.sinks {
		d := pipeline.Destination{Name: string(rune('a' + i)), Sink: s, Filter: w.filters[i]}
		if letters := w.letters[i]; letters != nil {
			d.DeadLetters = letters
		}
		if w.file != "" && i == 0 {
			var err error
			if d.DeadLetters, err = file.New(file.Config{Path: w.file, Logger: log}); err != nil {
				w.t.Fatal(err)
			}
		}
		cfg.Destinations = append(cfg.Destinations, d)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &run{w: w, cancel: cancel, done: make(chan error, 1)}
	p := pipeline.New(cfg)
	go func() { r.done <- p.Run(ctx) }()
	return r
}

// stop asks the run to stop, as SIGTERM does, and returns its error.
func (r *run) stop() error {
	r.cancel(errAsked)
	return r.wait()
}

// wait waits for the run to end by itself.
func (r *run) wait() error {
	err := <-r.done
	r.cancel(nil)
	return err
}

// holdsAll checks that each sink holds every committed event that is for it once and in order, or has it among its dead
// letters. A sink that does not remember may hold events again, but each again in order.
func (w *world) holdsAll() {
	w.t.Helper()
	for i, s := range w.sinks {
		want := w.positions(i, math.MaxUint64)
		got := s.durable()
		if !s.remembers {
			got = firsts(got)
		}
		if letters := w.letters[i]; letters != nil {
			// What was refused before a restart may be taken after it.
			got = firsts(merge(got, letters.durable()))
		}
		for j := range max(len(got), len(want)) {
			switch {
			case j >= len(got):
				w.t.Errorf("sink %d: event %s is missing, and %d after it", i, want[j], len(want)-j-1)
			case j >= len(want):
				w.t.Errorf("sink %d: event %s was never committed", i, got[j].Position)
			case got[j].Position != want[j]:
				w.t.Errorf("sink %d: event %d is %s, want %s", i, j, got[j].Position, want[j])
			default:
				continue
			}
			break
		}
	}
}

// merge merges what is in order.
func merge(a, b []held) (merged []held) {
	for len(a) > 0 && len(b) > 0 {
		first := &a
		if a[0].Compare(b[0].Position) > 0 {
			first = &b
		}
		merged = append(merged, (*first)[0])
		*first = (*first)[1:]
	}
	return append(append(merged, a...), b...)
}

// firsts leaves out events that came again.
func firsts(events []held) (once []held) {
	seen := make(map[decoder.Position]bool)
	for _, e := range events {
		if !seen[e.Position] {
			seen[e.Position] = true
			once = append(once, e)
		}
	}
	return once
}
