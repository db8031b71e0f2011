package sinktest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink"
)

// patience is how long a destination may take to notice that its context is done, or that it was mended.
const patience = 10 * time.Second

// suite is one case: a destination, the sink that is open for it, and what it has to hold.
type suite struct {
	*testing.T
	Harness
	sink sink.Sink // nil while none is open
	want [][]byte
	last decoder.Position
}

func (s *suite) order() {
	s.open()
	s.restart()
	events := pgoutputtest.Events(firstLSN, 20, 3)
	for n := 1; len(events) > 0; n++ {
		size := min(n, len(events))
		s.write(events[:size])
		events = events[size:]
	}
	s.check()
}

func (s *suite) durable() {
	s.open()
	for i := range 3 {
		s.write(pgoutputtest.Events(firstLSN+decoder.LSN(i)*0x1000, 5, 2))
		s.abandon()
		s.check()
		s.open()
	}
	s.check()
}

func (s *suite) resumeInTransaction() {
	events := pgoutputtest.Events(firstLSN, 2, 10)
	s.open()
	s.write(events[:13])
	s.restart()
	s.write(events[13:17])
	s.restart()
	s.write(events[17:])
	s.check()
}

func (s *suite) emptyBatch() {
	s.open()
	s.write(nil)
	s.check()
	s.write(pgoutputtest.Events(firstLSN, 1, 1))
	s.write([]decoder.Event{})
	s.restart()
	s.check()
}

func (s *suite) hugeEvent() {
	s.open()
	s.write(pgoutputtest.Events(firstLSN, 1, 2))
	s.write(s.eventOf(firstLSN+0x1000, 5<<20))
	s.restart()
	s.write(pgoutputtest.Events(firstLSN+0x2000, 1, 2))
	s.check()
}

func (s *suite) manyEvents() {
	s.open()
	s.write(pgoutputtest.Events(firstLSN, 5000, 4))
	s.restart()
	s.check()
}

func (s *suite) keepsNothing() {
	s.open()
	for i := range 3 {
		events := pgoutputtest.Events(firstLSN+decoder.LSN(i)*0x10000, 10, 10)
		s.write(events)
		for i := range events {
			clear(events[i].Line()) // as a batch that is used again would
		}
	}
	s.check()
	s.restart()
	s.check()
}

func (s *suite) context() {
	s.open()
	s.write(pgoutputtest.Events(firstLSN, 2, 2))

	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	events := pgoutputtest.Events(firstLSN+0x1000, 100, 10)
	began := time.Now()
	if err := s.sink.Write(ctx, events); !errors.Is(err, context.Canceled) {
		s.Errorf("Write with a context that is done returned %v, want %v", err, context.Canceled)
	}
	if took := time.Since(began); took > patience {
		s.Errorf("Write took %v to notice that its context is done", took)
	}
	s.write(events)
	s.check()

	// Wherever in the batch the cancellation falls, the same events come again.
	events = pgoutputtest.Events(firstLSN+0x100000, 20000, 1)
	ctx, cancel = context.WithCancel(s.Context())
	stop := time.AfterFunc(time.Millisecond, cancel)
	if err := s.sink.Write(ctx, events); err != nil && !errors.Is(err, context.Canceled) {
		s.Errorf("Write returned %v when its context ended in the middle, want %v", err, context.Canceled)
	}
	stop.Stop()
	cancel()
	s.write(events)
	s.restart()
	s.check()
}

func (s *suite) failure() {
	if s.Break == nil {
		return
	}
	events := pgoutputtest.Events(firstLSN, 20, 10)
	s.open()
	s.write(events[:55])
	s.Break(s.T)
	for range 3 {
		switch err := s.sink.Write(s.Context(), events[55:120]); {
		case err == nil:
			s.Fatal("Write to a broken destination returned nil")
		case errors.Is(err, sink.ErrConfig), errors.Is(err, sink.ErrForeign), errors.Is(err, sink.ErrClosed):
			s.Fatalf("Write to a broken destination returned an error that ends the retries: %v", err)
		}
	}
	s.Mend(s.T)
	deadline := time.Now().Add(patience)
	for {
		err := s.sink.Write(s.Context(), events[55:120])
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			s.Fatalf("Write still fails though the destination was mended: %v", err)
		}
	}
	s.wrote(events[55:120])
	s.check()
	s.write(events[120:160])
	s.restart()
	s.write(events[160:])
	s.check()
}

func (s *suite) refusal() {
	if s.Refuse == nil {
		return
	}
	events := pgoutputtest.Events(firstLSN, 4, 3)
	refused := events[7]
	s.open()
	s.write(events[:5])
	s.Refuse(s.T, refused.Position)
	for range 2 {
		err := s.sink.Write(s.Context(), events[5:])
		rejected, ok := errors.AsType[*sink.RejectedError](err)
		switch {
		case !ok:
			s.Fatalf("Write of an event that is refused returned %v, want a sink.RejectedError", err)
		case rejected.Position != refused.Position:
			s.Fatalf("Write refused event %s, want %s", rejected.Position, refused.Position)
		case rejected.Reason == "" || strings.Contains(rejected.Reason, "quoted"): // which stands in every row
			s.Errorf("Write gave the reason %q, want one that holds nothing of the row", rejected.Reason)
		}
	}
	// What stands before it is written, what comes after it goes on as if it had never been.
	s.write(events[5:7])
	s.restart()
	s.write(events[8:])
	s.restart()
	s.check()
}

func (s *suite) foreignOrigin() {
	if !s.Remembers {
		return
	}
	s.open()
	s.write(pgoutputtest.Events(firstLSN, 2, 2))
	s.close()
	for name, change := range map[string]func(*sink.Origin){
		"cluster":  func(o *sink.Origin) { o.SystemID = "7340928374655909999" },
		"timeline": func(o *sink.Origin) { o.Timeline++ },
		"database": func(o *sink.Origin) { o.Database = "crm" },
		"slot":     func(o *sink.Origin) { o.Slot = "pgwitness_2" },
		"timeline that begins before the last event": func(o *sink.Origin) {
			o.Timeline, o.History = 2, []sink.Branch{{Timeline: Origin.Timeline, At: s.last.LSN}}
		},
	} {
		origin := Origin
		change(&origin)
		other := s.New(s.T)
		if _, err := other.Open(s.Context(), origin); !errors.Is(err, sink.ErrForeign) {
			s.Errorf("Open for another %s returned %v, want %v", name, err, sink.ErrForeign)
		}
		if err := other.Close(); err != nil {
			s.Errorf("Close after a refused Open: %v", err)
		}
	}
	s.open()
	s.write(pgoutputtest.Events(firstLSN+0x1000, 1, 1))
	s.check()
}

func (s *suite) nextTimeline() {
	if !s.Remembers {
		return
	}
	s.open()
	s.write(pgoutputtest.Events(firstLSN, 2, 2))
	s.close()
	promoted := Origin
	promoted.Timeline, promoted.History = 3, []sink.Branch{{Timeline: 1, At: s.last.LSN + 1}, {Timeline: 2, At: s.last.LSN + 0x1000}}
	s.openFor(promoted)
	s.close()
	promoted.History = nil // it holds that timeline's own events now, or at least its own position
	s.openFor(promoted)
	s.write(pgoutputtest.Events(s.last.LSN+0x2000, 1, 2))
	s.close()
	former := s.New(s.T)
	if _, err := former.Open(s.Context(), Origin); !errors.Is(err, sink.ErrForeign) {
		s.Errorf("Open for the timeline before returned %v, want %v", err, sink.ErrForeign)
	}
	if err := former.Close(); err != nil {
		s.Errorf("Close after a refused Open: %v", err)
	}
	s.openFor(promoted)
	s.check()
}

func (s *suite) closeUnopened() {
	if err := s.New(s.T).Close(); err != nil {
		s.Errorf("Close of a sink that is not open: %v", err)
	}
}

// open opens a new sink and checks the position that it reports.
func (s *suite) open() {
	s.Helper()
	s.openFor(Origin)
}

func (s *suite) openFor(origin sink.Origin) {
	s.Helper()
	opened := s.New(s.T)
	position, err := opened.Open(s.Context(), origin)
	if err != nil {
		_ = opened.Close()
		s.Fatalf("Open: %v", err)
	}
	s.sink = opened
	var want decoder.Position
	if s.Remembers {
		want = s.last
	}
	if position != want {
		s.Fatalf("Open returned position %s, want %s", position, want)
	}
}

func (s *suite) close() {
	if s.sink == nil {
		return
	}
	if err := s.sink.Close(); err != nil {
		s.Errorf("Close: %v", err)
	}
	s.sink = nil
}

func (s *suite) abandon() {
	if s.Abandon == nil {
		s.close()
		return
	}
	s.Abandon(s.T, s.sink)
	s.sink = nil
}

// restart is what a killed process and the one after it do.
func (s *suite) restart() {
	s.Helper()
	s.abandon()
	s.open()
}

// write writes events, which must succeed and leave them as they are.
func (s *suite) write(events []decoder.Event) {
	s.Helper()
	before := len(s.want)
	s.wrote(events)
	if err := s.sink.Write(s.Context(), events); err != nil {
		s.Fatalf("Write: %v", err)
	}
	for i := range events {
		if !bytes.Equal(events[i].JSON(), s.want[before+i]) {
			s.Fatalf("Write changed the bytes of event %s", events[i].Position)
		}
	}
}

// wrote notes that the destination has to hold events from now on.
func (s *suite) wrote(events []decoder.Event) {
	for i := range events {
		s.want = append(s.want, bytes.Clone(events[i].JSON()))
		s.last = events[i].Position
	}
}

// check compares what the destination holds with what it has to hold.
func (s *suite) check() {
	s.Helper()
	got := s.Read(s.T)
	if !s.Remembers {
		got = withoutRepeats(got)
	}
	for i := range max(len(got), len(s.want)) {
		switch {
		case i >= len(got):
			s.Fatalf("the destination holds %d events, want %d: missing from %.200s", len(got), len(s.want), s.want[i])
		case i >= len(s.want):
			s.Fatalf("the destination holds %d events, want %d: too many from %.200s", len(got), len(s.want), got[i])
		case !bytes.Equal(got[i], s.want[i]):
			s.Fatalf("event %d is\n%.200s, want\n%.200s", i, got[i], s.want[i])
		}
	}
}

func withoutRepeats(lines [][]byte) [][]byte {
	seen := make(map[string]bool)
	var once [][]byte
	for _, line := range lines {
		if !seen[string(line)] {
			once = append(once, line)
		}
		seen[string(line)] = true
	}
	return once
}

// eventOf is a transaction of one row with that many bytes of text in it.
func (s *suite) eventOf(lsn decoder.LSN, size int) []decoder.Event {
	d := decoder.New(decoder.Config{Source: "shop", Schema: "public", Table: "custom_audit_log"})
	var batch decoder.Batch
	for _, message := range [][]byte{
		pgoutputtest.AuditRelation(),
		pgoutputtest.Begin(lsn, pgoutputtest.Epoch, 742),
		pgoutputtest.Insert(pgoutputtest.RelationOID, "1", "INSERT", nil, "app", "orders", `{"id": 1, "note": "`+strings.Repeat("x", size)+`"}`),
		pgoutputtest.Commit(lsn, lsn+0x30, pgoutputtest.Epoch),
	} {
		if _, err := d.Decode(message, &batch); err != nil {
			s.Fatalf("the suite's own message: %v", err)
		}
	}
	return batch.Events
}
