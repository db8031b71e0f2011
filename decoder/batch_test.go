package decoder_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"weak"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

const chunkSize = 256 << 10 // what a Batch allocates at a time

// noteRelation is an audit table of a key and a text, whose lines can be given any length.
func noteRelation() []byte {
	return pgoutputtest.Relation(1, "public", "custom_audit_log", 'd',
		pgoutputtest.Column{Name: "id", Type: pgoutputtest.Int4, Key: true}, pgoutputtest.Column{Name: "note", Type: pgoutputtest.Text})
}

// Lines that end before, at and after the end of a chunk, and lines that no chunk can hold, are all still there at the end.
func TestLinesLiveUntilReset(t *testing.T) {
	d := begun(t, seedConfig, noteRelation())
	var batch decoder.Batch
	overhead := 0
	for round := range 3 {
		var rows []string
		size := 0
		add := func(note string) {
			id := fmt.Sprint(len(rows))
			if _, err := d.Decode(pgoutputtest.Insert(1, id, note), &batch); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, fmt.Sprintf(`{"id":%s,"note":"%s"}`, id, strings.ReplaceAll(note, `"`, `\"`)))
			size += len(batch.Events[len(batch.Events)-1].Line())
		}
		for _, length := range []int{0, 1, 100, 4 << 10, 100_000, 3, 140_000, 5, 200_000, 250_000, 7} {
			add(strings.Repeat("a", length))
			add(strings.Repeat(`"`, length)) // escaped, it takes twice the room that was set aside for it
		}
		for length := chunkSize - 9<<10; length < chunkSize+2<<10; length += 97 {
			add(strings.Repeat("b", length))
			add("c")
		}
		add(strings.Repeat("d", 5*chunkSize))
		add("e")

		if len(batch.Events) != len(rows) {
			t.Fatalf("round %d: %d events of %d rows", round, len(batch.Events), len(rows))
		}
		for i := range batch.Events {
			if got := string(batch.Events[i].Row()); got != rows[i] {
				t.Fatalf("round %d, row %d: %.100q, want %.100q", round, i, got, rows[i])
			}
		}
		if overhead == 0 {
			overhead = (batch.Size() - size) / len(rows)
		}
		if got := batch.Size() - size - overhead*len(rows); got != 0 || overhead < 32 || overhead > 256 {
			t.Errorf("round %d: Size is %d more than %d lines of %d bytes, with %d each", round, got, len(rows), size, overhead)
		}
		batch.Reset()
		if batch.Size() != 0 || len(batch.Events) != 0 {
			t.Errorf("round %d: size %d and %d events after Reset", round, batch.Size(), len(batch.Events))
		}
	}
}

func TestZeroBatch(t *testing.T) {
	var batch decoder.Batch
	batch.Reset()
	if batch.Size() != 0 || len(batch.Events) != 0 {
		t.Errorf("size %d, %d events", batch.Size(), len(batch.Events))
	}
}

// transaction is a whole transaction of the seed's table.
func transaction(rows int) [][]byte { return pgoutputtest.Transaction(commitLSN, xid, 1, rows) }

// within is a transaction that repeats changes n times.
func within(n int, changes ...[]byte) [][]byte {
	messages := [][]byte{begin()}
	for range n {
		messages = append(messages, changes...)
	}
	return append(messages, commit())
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	var names []pgoutputtest.Column
	var wide []pgoutputtest.Value
	for i := range 300 {
		names = append(names, pgoutputtest.Column{Name: fmt.Sprintf("a_column_with_a_long_name_%d", i), Type: pgoutputtest.Bool, Key: i == 0})
		wide = append(wide, "t")
	}
	for _, c := range []struct {
		name     string
		relation []byte
		messages [][]byte
	}{
		{"the seed", pgoutputtest.AuditRelation(), transaction(2_000)},
		{"tampering", pgoutputtest.AuditRelation(), within(1_000, samples()["UPDATE of all"], samples()["DELETE"])},
		{"names longer than the values", pgoutputtest.Relation(1, "public", "custom_audit_log", 'd', names...),
			within(200, pgoutputtest.Insert(1, wide...))},
		{"tampering, names longer than the values", pgoutputtest.Relation(1, "public", "custom_audit_log", 'f', names...),
			within(200, pgoutputtest.Update(1, 'O', wide, wide))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := allocations(t, c.relation, c.messages); n > 0 {
				t.Errorf("%.0f allocations in %d messages", n, len(c.messages))
			}
		})
	}
}

// allocations is how many it takes to decode messages into a batch that has held them before.
func allocations(t *testing.T, relation []byte, messages [][]byte) float64 {
	d := decoder.New(seedConfig)
	feed(t, d, relation)
	var batch decoder.Batch
	run := func() {
		batch.Reset()
		for _, m := range messages {
			if _, err := d.Decode(m, &batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	return testing.AllocsPerRun(5, run)
}

// A row of 100 MB takes its message, its line and next to nothing else; and Reset lets go of the line.
func TestLargeRow(t *testing.T) {
	const size = 24 << 20
	d := begun(t, seedConfig, pgoutputtest.AuditRelation())
	half := strings.Repeat("é", size/4)
	message := pgoutputtest.Insert(pgoutputtest.RelationOID, "1", "INSERT", nil, half, nil, `{"x": "`+half+`"}`)
	var batch decoder.Batch
	before := allocated()
	if _, err := d.Decode(message, &batch); err != nil {
		t.Fatal(err)
	}
	if got := allocated() - before; got > size+1<<20 {
		t.Errorf("%d bytes allocated for a row of %d", got, size)
	}
	line := weak.Make(&batch.Events[0].Line()[0])
	if len(batch.Events[0].Row()) < size || batch.Size() < size {
		t.Fatalf("a row of %d bytes, a batch of %d", len(batch.Events[0].Row()), batch.Size())
	}
	batch.Reset()
	runtime.GC()
	if line.Value() != nil {
		t.Error("the line is still referred to after Reset")
	}
	runtime.KeepAlive(&batch)
}

// A line that escapes made longer than foreseen may outgrow its chunk. Those after it must find room again.
func TestLinesThatOutgrowTheirChunk(t *testing.T) {
	const rows, length = 1_000, 2_000
	escaped := pgoutputtest.Insert(1, "1", strings.Repeat("\x01", length)) // six bytes for each
	chunks := float64(rows * 6 * length / chunkSize)
	if n := allocations(t, noteRelation(), within(rows, escaped)); n > 4*chunks {
		t.Errorf("%.0f allocations for lines that fill %.0f chunks: more than growing one line in each takes", n, chunks)
	}
}
