package decoder_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

const commitLSN decoder.LSN = 0x16B3748

const (
	xid      = 742
	otherOID = 16500
)

var seedConfig = decoder.Config{Source: "shop", Schema: "public", Table: "custom_audit_log"}

// feed decodes messages with d and returns the lines of the events they gave, without newlines.
func feed(t testing.TB, d *decoder.Decoder, messages ...[]byte) []string {
	t.Helper()
	var batch decoder.Batch
	for i, m := range messages {
		if _, err := d.Decode(m, &batch); err != nil {
			t.Fatalf("message %d (%.20q…): %v", i, m, err)
		}
	}
	var lines []string
	for i := range batch.Events {
		lines = append(lines, string(batch.Events[i].JSON()))
	}
	return lines
}

// begun is a Decoder that has decoded relations and then the BEGIN of a transaction.
func begun(t testing.TB, cfg decoder.Config, relations ...[]byte) *decoder.Decoder {
	t.Helper()
	d := decoder.New(cfg)
	feed(t, d, append(slices.Clip(relations), begin())...)
	return d
}

func begin() []byte  { return pgoutputtest.Begin(commitLSN, pgoutputtest.Epoch, xid) }
func commit() []byte { return pgoutputtest.Commit(commitLSN, commitLSN+0x30, pgoutputtest.Epoch) }

// head is an event's line up to and without the value of "row".
func head(id, kind, op, table string, seq int) string {
	return fmt.Sprintf(`{"id":"%s","kind":"%s","op":"%s","source":"shop","table":"%s","lsn":"0/16B3748","seq":%d,"xid":742,`+
		`"commit_time":"2026-11-23T08:30:00.123456Z","row":`, id, kind, op, table, seq)
}

// digest says what the contract says of the row's digest, as plainly as possible; nulls are left out of row.
func digest(row map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(row)) {
		for _, text := range []string{name, row[name]} {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
			h.Write([]byte(text))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func TestInsertIsTheContractsLine(t *testing.T) {
	d := begun(t, seedConfig, pgoutputtest.AuditRelation())
	var batch decoder.Batch
	_, err := d.Decode(pgoutputtest.Insert(pgoutputtest.RelationOID,
		"42", "INSERT", "2026-11-23 08:29:59.98", "app", "orders", `{"id": 7}`), &batch)
	if err != nil || len(batch.Events) != 1 {
		t.Fatalf("%d events, error %v", len(batch.Events), err)
	}
	id := "42-" + digest(map[string]string{"id": "42", "event_type": "INSERT", "event_timestamp": "2026-11-23 08:29:59.98",
		"user_name": "app", "table_name": "orders", "row_data": `{"id": 7}`})
	row := `{"id":42,"event_type":"INSERT","event_timestamp":"2026-11-23T08:29:59.98","user_name":"app",` +
		`"table_name":"orders","row_data":{"id": 7}}`
	want := head(id, "audit", "insert", "public.custom_audit_log", 0) + row + "}"

	e := &batch.Events[0]
	if got := string(e.JSON()); got != want {
		t.Errorf("JSON\n got %s\nwant %s", got, want)
	}
	if got := string(e.Line()); got != want+"\n" {
		t.Errorf("Line is %q", got)
	}
	if got := string(e.Row()); got != row {
		t.Errorf("Row is %s", got)
	}
	if e.ID() != id || e.Kind() != decoder.KindAudit || e.Op() != decoder.OpInsert || e.Audited() != decoder.OpInsert ||
		e.XID() != xid || e.Table != "public.custom_audit_log" || e.Position != (decoder.Position{LSN: commitLSN}) ||
		!e.CommitTime().Equal(pgoutputtest.Epoch) || e.CommitTime().Location() != time.UTC {
		t.Errorf("ID %s, kind %s, op %s, audited %s, xid %d, table %s, position %s, commit time %s",
			e.ID(), e.Kind(), e.Op(), e.Audited(), e.XID(), e.Table, e.Position, e.CommitTime())
	}
}

func TestAuditedOperation(t *testing.T) {
	for text, want := range map[string]decoder.Op{
		"INSERT": decoder.OpInsert, "update": decoder.OpUpdate, "Delete": decoder.OpDelete, "TRUNCATE": decoder.OpTruncate,
		"": decoder.OpOther, "U": decoder.OpOther, "LOGIN": decoder.OpOther, "TRUNCATED": decoder.OpOther, "INSERT ": decoder.OpOther,
	} {
		d := begun(t, seedConfig, pgoutputtest.AuditRelation())
		var batch decoder.Batch
		if _, err := d.Decode(pgoutputtest.Insert(pgoutputtest.RelationOID, "1", text, nil, nil, nil, nil), &batch); err != nil {
			t.Fatal(err)
		}
		if got := batch.Events[0].Audited(); got != want {
			t.Errorf("event_type %q is the operation %s, want %s", text, got, want)
		}
	}
}

func TestBoundaries(t *testing.T) {
	d := decoder.New(seedConfig)
	var batch decoder.Batch
	for i, step := range []struct {
		message []byte
		want    decoder.Result
		inside  bool
		events  int
	}{
		{message: pgoutputtest.Message(false, 1, "outside", "of a transaction")},
		{message: begin(), want: decoder.Result{Boundary: decoder.Begin}, inside: true},
		{message: pgoutputtest.Origin(0x99, "elsewhere"), inside: true},
		{message: pgoutputtest.Type(16400, "public", "mood"), inside: true},
		{message: pgoutputtest.Relation(otherOID, "public", "orders", 'd'), inside: true},
		{message: pgoutputtest.AuditRelation(), want: decoder.Result{Relation: pgoutputtest.RelationOID}, inside: true},
		{message: pgoutputtest.Insert(pgoutputtest.RelationOID, "1", nil, nil, nil, nil, nil), inside: true, events: 1},
		{message: pgoutputtest.Message(true, 1, "", ""), inside: true, events: 1},
		{message: pgoutputtest.Insert(pgoutputtest.RelationOID, "2", nil, nil, nil, nil, nil), inside: true, events: 2},
		{message: commit(), want: decoder.Result{Boundary: decoder.Commit, End: commitLSN + 0x30}, events: 2},
		// The next commit record may begin where this one ended.
		{message: pgoutputtest.Begin(commitLSN+0x30, pgoutputtest.Epoch, xid+1), want: decoder.Result{Boundary: decoder.Begin},
			inside: true, events: 2},
		{message: pgoutputtest.Insert(pgoutputtest.RelationOID, "3", nil, nil, nil, nil, nil), inside: true, events: 3},
		{message: pgoutputtest.Commit(commitLSN+0x30, commitLSN+0x60, pgoutputtest.Epoch),
			want: decoder.Result{Boundary: decoder.Commit, End: commitLSN + 0x60}, events: 3},
	} {
		got, err := d.Decode(step.message, &batch)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got != step.want || d.InTransaction() != step.inside || len(batch.Events) != step.events {
			t.Errorf("step %d: %+v, in a transaction %t, %d events; want %+v, %t, %d",
				i, got, d.InTransaction(), len(batch.Events), step.want, step.inside, step.events)
		}
	}
	var positions []string
	for i := range batch.Events {
		e := &batch.Events[i]
		positions = append(positions, fmt.Sprintf("%s xid %d", e.Position, e.XID()))
		if line := parse(t, e.Line()); line.LSN != e.LSN.String() || line.Seq != e.Seq || line.XID != e.XID() {
			t.Errorf("the event at %s of xid %d is %s", e.Position, e.XID(), e.JSON())
		}
	}
	want := []string{"0/16B3748/0 xid 742", "0/16B3748/1 xid 742", "0/16B3778/0 xid 743"}
	if !slices.Equal(positions, want) {
		t.Errorf("positions %q, want %q", positions, want)
	}
}

// Events that were delivered before are counted, so that those after them have the positions they had then.
func TestDeliveredBefore(t *testing.T) {
	message := samples()
	d := begun(t, seedConfig, pgoutputtest.AuditRelation(), pgoutputtest.Relation(otherOID, "public", "orders", 'd'))
	for i, step := range []struct {
		message []byte
		next    uint64
	}{
		{message["INSERT"], 1},
		{message["UPDATE of all"], 2},
		{message["DELETE"], 3},
		{message["TRUNCATE of two"], 5},
		{message["MESSAGE"], 5},
		{pgoutputtest.Insert(otherOID), 5},
		{message["RELATION"], 5},
	} {
		if _, err := d.Decode(step.message, nil); err != nil {
			t.Fatal(err)
		}
		if want := (decoder.Position{LSN: commitLSN, Seq: step.next}); d.Next() != want {
			t.Errorf("after step %d the next position is %s, want %s", i, d.Next(), want)
		}
	}
	if lines := feed(t, d, message["INSERT"]); len(lines) != 1 || parse(t, []byte(lines[0]+"\n")).Seq != 5 {
		t.Errorf("the next event is %s", lines)
	}
	if _, err := d.Decode(pgoutputtest.Insert(pgoutputtest.RelationOID, "1"), nil); err == nil {
		t.Error("a tuple without its columns is no error")
	}
}

func TestResetForgetsTheSession(t *testing.T) {
	d := begun(t, seedConfig, pgoutputtest.AuditRelation())
	feed(t, d, pgoutputtest.Insert(pgoutputtest.RelationOID, "1", nil, nil, nil, nil, nil))
	d.Reset()
	if d.InTransaction() {
		t.Error("a transaction is open after Reset")
	}
	feed(t, d, begin())
	var batch decoder.Batch
	_, err := d.Decode(pgoutputtest.Insert(pgoutputtest.RelationOID, "1", nil, nil, nil, nil, nil), &batch)
	if err == nil || !strings.Contains(err.Error(), "no RELATION message") {
		t.Errorf("the relation was remembered: %v", err)
	}

	d.Reset()
	lines := feed(t, d, begin(), pgoutputtest.AuditRelation(),
		pgoutputtest.Insert(pgoutputtest.RelationOID, "1", nil, nil, nil, nil, nil))
	if len(lines) != 1 || !strings.Contains(lines[0], `"lsn":"0/16B3748","seq":0,`) {
		t.Errorf("the session sent again gives %s", lines)
	}
}

func TestErrors(t *testing.T) {
	one := pgoutputtest.Relation(1, "public", "custom_audit_log", 'd',
		pgoutputtest.Column{Name: "id", Type: pgoutputtest.Int4, Key: true}, pgoutputtest.Column{Name: "ok", Type: pgoutputtest.Bool})
	data := func(s string, args ...any) []byte { return fmt.Appendf(nil, s, args...) }

	for _, c := range []struct {
		name    string
		outside bool // of a transaction
		message []byte
		want    string
	}{
		{name: "nothing", message: nil, want: "pgoutput empty message, byte 0: there is not even a message type"},
		{name: "unknown", message: data("Z"), want: `pgoutput 'Z' message, byte 0: message type 'Z' is unknown to protocol version 1`},
		{name: "streamed", message: data("S\x00\x00\x02\xe6\x01"), want: `pgoutput 'S' message, byte 0: message type 'S' is unknown to protocol version 1`},
		{name: "begin in a transaction", message: begin(),
			want: "pgoutput BEGIN message, byte 21: the transaction before it (xid 742) has not ended"},
		{name: "commit without begin", outside: true, message: commit(), want: "pgoutput COMMIT message, byte 26: no transaction is open"},
		{name: "commit of another transaction", message: pgoutputtest.Commit(commitLSN+8, commitLSN+16, pgoutputtest.Epoch),
			want: "pgoutput COMMIT message, byte 26: the commit LSN 0/16B3750 is not the one that BEGIN announced, 0/16B3748"},
		{name: "commit that ends where it begins", message: pgoutputtest.Commit(commitLSN, commitLSN, pgoutputtest.Epoch),
			want: "pgoutput COMMIT message, byte 26: the end LSN 0/16B3748 is not past the commit LSN 0/16B3748"},
		{name: "insert without begin", outside: true, message: pgoutputtest.Insert(1, "1", "t"),
			want: "pgoutput INSERT message, byte 5: no transaction is open"},
		{name: "truncate without begin", outside: true, message: pgoutputtest.Truncate(1),
			want: "pgoutput TRUNCATE message, byte 10: no transaction is open"},
		{name: "insert into an unknown relation", message: pgoutputtest.Insert(2, "1", "t"),
			want: "pgoutput INSERT message, byte 5: no RELATION message came for OID 2"},
		{name: "truncate of a known and an unknown relation", message: pgoutputtest.Truncate(1, 2),
			want: "pgoutput TRUNCATE message, byte 14: no RELATION message came for OID 2"},
		{name: "truncate of fewer than it says", message: data("T\x00\x00\x00\x02\x00\x00\x00\x00\x01"),
			want: "pgoutput TRUNCATE message, byte 6: 2 relations do not fit the 4 bytes left"},
		{name: "truncate of more than it says", message: data("T\x00\x00\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x01"),
			want: "pgoutput TRUNCATE message, byte 6: 1 relations do not fit the 8 bytes left"},
		{name: "truncate of two milliards", message: data("T\xff\xff\xff\xff\x00\x00\x00\x00\x01"),
			want: "pgoutput TRUNCATE message, byte 6: 4294967295 relations do not fit the 4 bytes left"},
		{name: "insert of an old tuple", message: data("I\x00\x00\x00\x01K\x00\x02nn"),
			want: "pgoutput INSERT message for public.custom_audit_log, byte 6: tuple kind 'K' where a new tuple belongs"},
		{name: "update to an old tuple", message: data("U\x00\x00\x00\x01K\x00\x02nnO\x00\x02nn"),
			want: "pgoutput UPDATE message for public.custom_audit_log, byte 11: tuple kind 'O' where a new tuple belongs"},
		{name: "delete of a new tuple", message: data("D\x00\x00\x00\x01N\x00\x02nn"),
			want: "pgoutput DELETE message for public.custom_audit_log, byte 6: tuple kind 'N' where an old tuple belongs"},
		{name: "fewer columns than the relation", message: pgoutputtest.Insert(1, "1"),
			want: "pgoutput INSERT message for public.custom_audit_log, byte 8: the tuple has 1 columns, the relation has 2"},
		{name: "more columns than the relation", message: pgoutputtest.Insert(1, "1", "t", "3"),
			want: "pgoutput INSERT message for public.custom_audit_log, byte 8: the tuple has 3 columns, the relation has 2"},
		{name: "a binary value", message: data("I\x00\x00\x00\x01N\x00\x02nb\x00\x00\x00\x01\x01"),
			want: "pgoutput INSERT message for public.custom_audit_log, byte 9: column 2 has the unknown status 'b'"},
		{name: "a value of four milliards of bytes", message: data("I\x00\x00\x00\x01N\x00\x02nt\xff\xff\xff\xfft"),
			want: "pgoutput INSERT message for public.custom_audit_log, byte 14: column value needs 4294967295 bytes, 1 are left"},
		{name: "an insert with a column not sent", message: pgoutputtest.Insert(1, "1", pgoutputtest.Unchanged),
			want: "pgoutput INSERT message for public.custom_audit_log, byte 15: a column of an inserted row was not sent"},
		{name: "a bool that is neither", message: pgoutputtest.Insert(1, "1", "true"),
			want: `pgoutput INSERT message for public.custom_audit_log, byte 19: the value of column "ok" is not valid for its type`},
		{name: "a number that is not UTF-8", message: pgoutputtest.Insert(1, "\xff", "t"),
			want: `pgoutput INSERT message for public.custom_audit_log, byte 13: the value of column "id" is not valid for its type`},
		{name: "an old row that is not UTF-8", message: pgoutputtest.Update(1, 'K', []pgoutputtest.Value{"\xff", nil}, []pgoutputtest.Value{"1", nil}),
			want: `pgoutput UPDATE message for public.custom_audit_log, byte 13: the value of column "id" is not valid for its type`},
		{name: "a byte too many", message: append(pgoutputtest.Insert(1, "1", "t"), 'x'),
			want: "pgoutput INSERT message for public.custom_audit_log, byte 20: 1 bytes too many"},
		{name: "more columns than bytes", message: data("R\x00\x00\x00\x01public\x00t\x00d\xff\xff\x00"),
			want: "pgoutput RELATION message, byte 17: 65535 columns do not fit in the 1 bytes left"},
		{name: "a relation without a name's end", message: data("R\x00\x00\x00\x01public"),
			want: "pgoutput RELATION message, byte 5: schema name has no end"},
		{name: "a relation's name not UTF-8", message: pgoutputtest.Relation(1, "public", "\xff", 'd'),
			want: "pgoutput RELATION message, byte 17: the relation's name is not UTF-8"},
		{name: "a column's name not UTF-8", message: pgoutputtest.Relation(1, "a", "b", 'd', pgoutputtest.Column{Name: "\xff"}),
			want: "pgoutput RELATION message for a.b, byte 23: the name of column 1 is not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decoder.New(seedConfig)
			feed(t, d, one)
			if !c.outside {
				feed(t, d, begin())
			}
			var batch decoder.Batch
			_, err := d.Decode(c.message, &batch)
			var decodeError *decoder.Error
			if !errors.As(err, &decodeError) || err.Error() != c.want {
				t.Errorf("\n got %v\nwant %s", err, c.want)
			}
			if len(batch.Events) != 0 || batch.Size() != 0 {
				t.Errorf("the batch holds %d events in %d bytes", len(batch.Events), batch.Size())
			}
		})
	}
}

// samples are messages of every type that are valid in a transaction after AuditRelation.
func samples() map[string][]byte {
	row := []pgoutputtest.Value{"42", "INSERT", "2026-11-23 08:29:59.98", "app", nil, `{"id": 7}`}
	unchanged := []pgoutputtest.Value{"42", "INSERT", nil, "app", nil, pgoutputtest.Unchanged}
	key := []pgoutputtest.Value{"41", nil, nil, nil, nil, nil}
	return map[string][]byte{
		"ORIGIN":               pgoutputtest.Origin(0x99, "elsewhere"),
		"RELATION":             pgoutputtest.AuditRelation(),
		"TYPE":                 pgoutputtest.Type(16400, "public", "mood"),
		"INSERT":               pgoutputtest.Insert(pgoutputtest.RelationOID, row...),
		"UPDATE":               pgoutputtest.Update(pgoutputtest.RelationOID, 0, nil, unchanged),
		"UPDATE of the key":    pgoutputtest.Update(pgoutputtest.RelationOID, 'K', key, row),
		"UPDATE of all":        pgoutputtest.Update(pgoutputtest.RelationOID, 'O', row, unchanged),
		"DELETE":               pgoutputtest.Delete(pgoutputtest.RelationOID, 'K', key...),
		"DELETE of all":        pgoutputtest.Delete(pgoutputtest.RelationOID, 'O', row...),
		"TRUNCATE":             pgoutputtest.Truncate(pgoutputtest.RelationOID),
		"TRUNCATE of two":      pgoutputtest.Truncate(pgoutputtest.RelationOID, pgoutputtest.RelationOID),
		"MESSAGE":              pgoutputtest.Message(true, 1, "prefix", "content"),
		"MESSAGE of retention": pgoutputtest.Message(true, 1, decoder.RetentionPrefix, `{"table":"public.custom_audit_log"}`),
		"MESSAGE of nothing":   pgoutputtest.Message(true, 1, "", ""),
		"COMMIT":               commit(),
	}
}

// A message cut off anywhere, or with a byte too many, is an error; the batch stays what it was.
func TestTruncatedMessages(t *testing.T) {
	check := func(t *testing.T, name string, message []byte, broken func(n int) []byte, upTo int) {
		for n := range upTo {
			d := decoder.New(seedConfig)
			var batch decoder.Batch
			if name != "BEGIN" {
				for _, m := range [][]byte{pgoutputtest.AuditRelation(), begin(), samples()["INSERT"]} {
					if _, err := d.Decode(m, &batch); err != nil {
						t.Fatal(err)
					}
				}
			}
			events, size, line := len(batch.Events), batch.Size(), ""
			if events > 0 {
				line = string(batch.Events[0].Line())
			}
			result, err := d.Decode(broken(n), &batch)
			var decodeError *decoder.Error
			if !errors.As(err, &decodeError) || result != (decoder.Result{}) {
				t.Fatalf("%d of %d bytes: %+v, %v", n, len(message), result, err)
			}
			if n > 0 && decodeError.Message != strings.Fields(name)[0] || decodeError.Offset > len(broken(n)) {
				t.Errorf("%d of %d bytes: %v", n, len(message), err)
			}
			if len(batch.Events) != events || batch.Size() != size || events > 0 && string(batch.Events[0].Line()) != line {
				t.Errorf("%d of %d bytes: the batch was changed", n, len(message))
			}
		}
	}
	all := samples()
	all["BEGIN"] = begin()
	for name, message := range all {
		t.Run(name, func(t *testing.T) {
			check(t, name, message, func(n int) []byte { return message[:n] }, len(message))
			check(t, name, message, func(int) []byte { return append(slices.Clip(message), 0) }, 1)
		})
	}
}

// The caller may reuse a message's memory, and a large one must not stay alive.
func TestMessageIsNotRetained(t *testing.T) {
	d := begun(t, seedConfig, pgoutputtest.AuditRelation())
	var batch decoder.Batch
	decode := func(message []byte) weak.Pointer[byte] {
		if _, err := d.Decode(message, &batch); err != nil {
			t.Fatal(err)
		}
		for i := range message {
			message[i] = 'x'
		}
		return weak.Make(&message[0])
	}
	for name := range samples() {
		if name == "COMMIT" {
			continue
		}
		pointer := decode(samples()[name])
		runtime.GC()
		if pointer.Value() != nil {
			t.Errorf("%s is still referred to", name)
		}
	}
	for i := range batch.Events {
		if line := string(batch.Events[i].Line()); strings.Contains(line, "xxx") {
			t.Errorf("the line uses the message's memory: %s", line)
		}
	}
	runtime.KeepAlive(d)
}
