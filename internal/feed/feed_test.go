package feed

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"pgwitness/decoder"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pgoutputtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newFeed(events, bytes int) *Feed {
	return New(Config{Next: metrics.New(metrics.Config{}), Events: events, Bytes: bytes})
}

// batch is events with the ids first to last.
func batch(first, last int) []decoder.Event {
	return pgoutputtest.Events(0x1000, 1, last)[first-1:]
}

// ids says of events which they are.
func ids(events []decoder.Event) string {
	var all []string
	for _, e := range events {
		id, _, _ := strings.Cut(e.ID(), "-")
		all = append(all, id)
	}
	return strings.Join(all, " ")
}

func TestFeed(t *testing.T) {
	line := len(batch(1, 1)[0].Line())
	tests := []struct {
		name          string
		events, bytes int
		batches       [][]decoder.Event
		from          uint64
		want          string
		skipped, next uint64
	}{
		{"nothing yet", 4, 1 << 20, nil, 0, "", 0, 0},
		{"all", 4, 1 << 20, [][]decoder.Event{batch(1, 2), batch(3, 4)}, 0, "1 2 3 4", 0, 4},
		{"those that are new", 4, 1 << 20, [][]decoder.Event{batch(1, 2), batch(3, 4)}, 3, "4", 0, 4},
		{"none that is new", 4, 1 << 20, [][]decoder.Event{batch(1, 2)}, 2, "", 0, 2},
		{"from the future", 4, 1 << 20, [][]decoder.Event{batch(1, 2)}, 9, "", 0, 2},
		{"the oldest go", 4, 1 << 20, [][]decoder.Event{batch(1, 3), batch(4, 6)}, 1, "3 4 5 6", 1, 6},
		{"a batch is too large", 4, 1 << 20, [][]decoder.Event{batch(1, 2), batch(3, 9)}, 0, "6 7 8 9", 5, 9},
		{"the bytes are too many", 99, 20 * line, [][]decoder.Event{batch(1, 15), batch(16, 30)}, 0, "12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30", 11, 30},
		{"a batch has too many bytes", 99, 17 * line, [][]decoder.Event{batch(1, 2), batch(3, 30)}, 0, "15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30", 14, 30},
		{"a line is too long", 4, 15 * line, [][]decoder.Event{batch(1, 2)}, 0, "", 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFeed(tt.events, tt.bytes)
			for _, events := range tt.batches {
				f.Durable(events, 0)
			}
			events, skipped, next, _ := f.From(tt.from)
			if got := ids(events); got != tt.want || skipped != tt.skipped || next != tt.next {
				t.Errorf("got %q, %d skipped, next %d; want %q, %d, %d", got, skipped, next, tt.want, tt.skipped, tt.next)
			}
			if f.End() != tt.next {
				t.Errorf("the end is %d, want %d", f.End(), tt.next)
			}
		})
	}
}

// A batch whose middle has no room leaves nothing of what was before it, though that had room: the numbers would not be right.
func TestNoGaps(t *testing.T) {
	line := func(n int) decoder.Event {
		e := batch(1, 1)[0]
		return e.With("x", []byte(`"`+strings.Repeat("x", n-len(e.Line())-len(`,"x":""`))+`"`))
	}
	short, long := line(500), line(2000)
	f := newFeed(999, 64*500)
	f.Durable([]decoder.Event{short}, 0)
	f.Durable(append([]decoder.Event{long}, slices.Repeat([]decoder.Event{short}, 61)...), 0)
	if events, skipped, _, _ := f.From(0); len(events) != 61 || skipped != 2 {
		t.Errorf("%d events and %d skipped, want 61 and 2", len(events), skipped)
	}
}

// Bounded memory is measured on what is kept, whatever came.
func TestBounds(t *testing.T) {
	f := newFeed(50, 8<<10)
	long := pgoutputtest.Events(0x1000, 1, 1)[0].With("long", []byte(`"`+strings.Repeat("x", 600)+`"`))
	for i := range 200 {
		events := batch(1, 1+i%40)
		if i%7 == 0 {
			events = append(events, long)
		}
		f.Durable(events, 0)
		kept, size := 0, 0
		for _, e := range f.events {
			kept, size = kept+1, size+len(e.Line())
		}
		if kept > 50 || size > 8<<10 || size != f.bytes {
			t.Fatalf("%d events of %d bytes (counted as %d) are kept", kept, size, f.bytes)
		}
	}
}

// What was handed out is nobody's to change: not the batch's, which is used again, nor the feed's.
func TestEventsStayValid(t *testing.T) {
	f := newFeed(4, 1<<20)
	events := batch(1, 2)
	want := string(events[0].Line())
	f.Durable(events, 0)
	got, _, _, _ := f.From(0)
	clear(events[0].Line())
	for range 9 {
		f.Durable(batch(3, 6), 0)
	}
	if string(got[0].Line()) != want {
		t.Errorf("it became %q", got[0].Line())
	}
}

// All who follow see every event once, in order, or are told.
func TestFollowers(t *testing.T) {
	const total = 2000
	f := newFeed(300, 1<<20)
	var followers sync.WaitGroup
	for range 4 {
		followers.Go(func() {
			next, seen := uint64(0), uint64(0)
			last := 0
			for next < total {
				events, skipped, to, more := f.From(next)
				for _, e := range events {
					var id int
					if _, err := fmt.Sscanf(e.ID(), "%d-", &id); err != nil || id <= last {
						t.Errorf("%s after %d", e.ID(), last)
					}
					last = id
				}
				seen += uint64(len(events)) + skipped
				next = to
				if next < total {
					<-more
				}
			}
			if seen != total || last != total {
				t.Errorf("%d were seen or skipped, the last one is %d", seen, last)
			}
		})
	}
	for chunk := range slices.Chunk(batch(1, total), 7) {
		f.Durable(chunk, 0)
	}
	followers.Wait()
}

func TestPassesOn(t *testing.T) {
	m := metrics.New(metrics.Config{})
	f := New(Config{Next: m})
	f.Durable(batch(1, 3), 0x1030)
	if got := m.Snapshot().Events; got != 3 {
		t.Errorf("%d events were counted", got)
	}
}

func TestFilter(t *testing.T) {
	decode := func(messages ...[]byte) *decoder.Event {
		d := decoder.New(decoder.Config{Source: "shop", Schema: "public", Table: "a"})
		var batch decoder.Batch
		relation := pgoutputtest.Relation(1, "public", "a", 'f',
			pgoutputtest.Column{Name: "event_type", Type: pgoutputtest.Text}, pgoutputtest.Column{Name: "user_name", Type: pgoutputtest.Text},
			pgoutputtest.Column{Name: "schema_name", Type: pgoutputtest.Text}, pgoutputtest.Column{Name: "table_name", Type: pgoutputtest.Text})
		for _, message := range append([][]byte{pgoutputtest.Begin(0x1000, pgoutputtest.Epoch, 1), relation}, messages...) {
			if _, err := d.Decode(message, &batch); err != nil {
				t.Fatal(err)
			}
		}
		return &batch.Events[0]
	}
	row := []pgoutputtest.Value{"UPDATE", "app", "shop", "orders"}
	audit := decode(pgoutputtest.Insert(1, row...))
	tamper := decode(pgoutputtest.Update(1, 'O', row, row))
	bare := decode(pgoutputtest.Insert(1, nil, nil, nil, nil))
	tests := []struct {
		name   string
		filter Filter
		event  *decoder.Event
		want   bool
	}{
		{"none", Filter{}, audit, true},
		{"none, of nothing", Filter{}, bare, true},
		{"table", Filter{Tables: []string{"x", "orders"}}, audit, true},
		{"table with schema", Filter{Tables: []string{"shop.orders"}}, audit, true},
		{"table of another schema", Filter{Tables: []string{"public.orders"}}, audit, false},
		{"another table", Filter{Tables: []string{"order", "Orders", "shop"}}, audit, false},
		{"table of nothing", Filter{Tables: []string{"", "."}}, bare, false},
		{"operation", Filter{Operations: []string{"update"}}, audit, true},
		{"another operation", Filter{Operations: []string{"insert", "delete"}}, audit, false},
		{"operation on the audit table", Filter{Operations: []string{"update"}}, tamper, true},
		{"no operation", Filter{Operations: []string{"other"}}, bare, true},
		{"user", Filter{Users: []string{"app"}}, audit, true},
		{"another user", Filter{Users: []string{"ap", ""}}, audit, false},
		{"kind", Filter{Kinds: []string{"tamper", "retention"}}, tamper, true},
		{"another kind", Filter{Kinds: []string{"tamper", "retention"}}, audit, false},
		{"all of them", Filter{[]string{"orders"}, []string{"update"}, []string{"app"}, []string{"audit"}}, audit, true},
		{"all but one", Filter{[]string{"orders"}, []string{"update"}, []string{"root"}, []string{"audit"}}, audit, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.filter.Match(tt.event); got != tt.want {
				t.Errorf("%v of %s", got, tt.event.JSON())
			}
		})
	}
}

// The words are all that events have.
func TestFilterWords(t *testing.T) {
	var operations, kinds []string
	for op := range decoder.NumOps {
		operations = append(operations, op.String())
	}
	for _, kind := range []decoder.Kind{decoder.KindAudit, decoder.KindTamper, decoder.KindRetention} {
		kinds = append(kinds, kind.String())
	}
	if diff := cmp.Diff([][]string{operations, kinds}, [][]string{Operations, Kinds}); diff != "" {
		t.Errorf("the words are others (-want +got):\n%s", diff)
	}
	all := Filter{Operations: Operations, Kinds: Kinds}
	if err := all.Check(); err != nil {
		t.Error(err)
	}
}
