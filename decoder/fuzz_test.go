package decoder_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime/metrics"
	"slices"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

// FuzzDecode decodes any sequence of messages, each after its length in two bytes.
func FuzzDecode(f *testing.F) {
	join := func(messages ...[]byte) (data []byte) {
		for _, m := range messages {
			data = append(binary.BigEndian.AppendUint16(data, uint16(len(m))), m...)
		}
		return data
	}
	session := [][]byte{pgoutputtest.Type(16400, "", "int4"), pgoutputtest.AuditRelation(), begin()}
	for _, message := range samples() {
		f.Add(join(append(slices.Clip(session), message, message)...))
	}
	f.Add(join(transaction(3)...))
	f.Add(join(begin(), pgoutputtest.Type(16400, "", "bool"),
		pgoutputtest.Relation(1, "public", "custom_audit_log", 'i', pgoutputtest.Column{Name: "id", Type: pgoutputtest.Numeric},
			pgoutputtest.Column{Name: "at", Type: pgoutputtest.Timestamptz, Key: true}, pgoutputtest.Column{Name: "ok", Type: 16400}),
		pgoutputtest.Insert(1, "NaN", "0044-03-15 12:00:00+00 BC", "t"), pgoutputtest.Delete(1, 'K', "1e400", "infinity", nil),
		pgoutputtest.Truncate(1, 1), commit()))
	f.Add(join(append(slices.Clip(session), samples()["MESSAGE of retention"], samples()["DELETE"],
		pgoutputtest.Insert(pgoutputtest.RelationOID, "1", "DELETE", nil, nil, nil, `{"id": null}`))...))
	for _, golden := range goldens(f) {
		f.Add(join(golden.messages...))
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		var batch decoder.Batch
		var asJSON bool
		// The engine's goroutines allocate in the same process, now and then a megabyte: greedy is what is so each time.
		for attempt := 1; ; attempt++ {
			batch = decoder.Batch{}
			before := allocated()
			var messages int
			messages, asJSON = decodeAll(t, data, &batch)
			// The bound is generous in the number of messages, each of which may make a relation, and strict in its order.
			got, bound := allocated()-before, uint64(1<<20+messages*4<<10+64*cap(data))
			if got <= bound {
				break
			}
			if attempt == 5 {
				t.Fatalf("%d bytes allocated for %d messages, bound %d", got, messages, bound)
			}
		}
		for i := range batch.Events {
			checkEvent(t, &batch.Events[i], asJSON)
		}
	})
}

// decodeAll decodes the messages of data with a new decoder. It returns their number, and whether every event has to be
// JSON.
func decodeAll(t *testing.T, data []byte, batch *decoder.Batch) (messages int, asJSON bool) {
	d := decoder.New(decoder.Config{Source: "shop", Schema: "public", Table: "custom_audit_log", RelationOID: 1, Key: []string{"id"}})
	asJSON = true
	for len(data) >= 2 {
		n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
		message := data[2 : 2+n : 2+n]
		data = data[2+n:]
		messages++
		asJSON = asJSON && !namesJSON(message)
		decodeAny(t, d, message, batch)
	}
	return messages, asJSON
}

// decodeAny decodes message and checks that an error leaves the batch alone; d is reset after one.
func decodeAny(t *testing.T, d *decoder.Decoder, message []byte, batch *decoder.Batch) {
	events, size := len(batch.Events), batch.Size()
	result, err := d.Decode(message, batch)
	if err == nil {
		if (result.Boundary == decoder.Commit) != (result.End != 0) || result.Boundary == decoder.Begin && !d.InTransaction() ||
			result.Boundary == decoder.Commit && d.InTransaction() {
			t.Fatalf("%q: %+v, in a transaction %t", message, result, d.InTransaction())
		}
		return
	}
	var decodeError *decoder.Error
	if !errors.As(err, &decodeError) || decodeError.Offset < 0 || decodeError.Offset > len(message) || decodeError.Reason == "" {
		t.Fatalf("%q: error %#v", message, err)
	}
	if len(batch.Events) != events || batch.Size() != size || result != (decoder.Result{}) {
		t.Fatalf("%q: %v, but there are %d events more and the result %+v", message, err, len(batch.Events)-events, result)
	}
	d.Reset()
}

// checkEvent checks what holds for the event of any message; the server vouches for what is in a json column, not we.
func checkEvent(t *testing.T, e *decoder.Event, asJSON bool) {
	line := e.Line()
	if bytes.IndexByte(line, '\n') != len(line)-1 || bytes.IndexByte(line, '\r') >= 0 || len(e.JSON()) != len(line)-1 {
		t.Fatalf("not one line: %q", line)
	}
	if row := e.Row(); !bytes.Equal(row, []byte("null")) && (row[0] != '{' || row[len(row)-1] != '}') {
		t.Fatalf("the row %q of %q", row, line)
	}
	if !asJSON {
		return
	}
	got := parse(t, line)
	if got.ID != e.ID() || got.Kind != e.Kind().String() || got.Op != e.Op().String() || got.Table != e.Table || got.LSN != e.LSN.String() ||
		got.Seq != e.Seq || got.XID != e.XID() || got.Incomplete != e.Incomplete() || (e.Op() == decoder.OpInsert) != (e.Kind() == decoder.KindAudit) ||
		e.Kind() == decoder.KindRetention && e.Op() != decoder.OpDelete || e.Incomplete() && e.Audited() != decoder.OpDelete {
		t.Fatalf("%q with ID %q, kind %s, op %s, table %q, position %s, xid %d",
			line, e.ID(), e.Kind(), e.Op(), e.Table, e.Position, e.XID())
	}
}

// namesJSON says whether message may give a column the type json or jsonb.
func namesJSON(message []byte) bool {
	return bytes.Contains(message, []byte("json")) ||
		bytes.Contains(message, binary.BigEndian.AppendUint32(nil, pgoutputtest.JSON)) ||
		bytes.Contains(message, binary.BigEndian.AppendUint32(nil, pgoutputtest.JSONB))
}

// allocated is how many bytes the process has ever allocated on the heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
