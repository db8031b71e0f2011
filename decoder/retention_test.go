package decoder_test

import (
	"fmt"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

func TestRetention(t *testing.T) {
	const (
		audit  = pgoutputtest.RelationOID
		former = 16500
		ours   = `{"table":"public.custom_audit_log","before":"2025-11-01T00:00:00Z"}`
	)
	announce := func(content string) []byte { return pgoutputtest.Message(true, 1, "pgwitness.retention", content) }
	row := []pgoutputtest.Value{"1", nil, nil, nil, nil, nil}
	gone, inserted := pgoutputtest.Delete(audit, 'K', row...), pgoutputtest.Insert(audit, row...)
	var others [][]byte
	for i := range 1000 {
		others = append(others, announce(ours), announce(fmt.Sprintf(`{"table":"public.t%d"}`, i%10)))
	}
	next := [][]byte{commit(), pgoutputtest.Begin(commitLSN+0x30, pgoutputtest.Epoch, xid+1)}

	for _, c := range []struct {
		name     string
		messages [][]byte
		want     string // the kinds of the events
	}{
		{"announced", [][]byte{announce(ours), gone, gone}, "retention retention"},
		{"announced as little as can be", [][]byte{announce(`{"table":"public.custom_audit_log"}`), gone}, "retention"},
		{"announced in its midst", [][]byte{gone, announce(ours), gone}, "tamper retention"},
		{"announced afterwards", [][]byte{gone, announce(ours)}, "tamper"},
		{"not announced", [][]byte{gone}, "tamper"},
		{"announced in the transaction before", append(append([][]byte{announce(ours), gone}, next...), gone), "retention tamper"},
		{"not transactional", [][]byte{pgoutputtest.Message(false, 1, "pgwitness.retention", ours), gone}, "tamper"},
		{"another prefix", [][]byte{pgoutputtest.Message(true, 1, "pgwitness.retentions", ours), gone}, "tamper"},
		{"another table", [][]byte{announce(`{"table":"public.orders"}`), gone}, "tamper"},
		{"another schema", [][]byte{announce(`{"table":"custom_audit_log"}`), gone}, "tamper"},
		{"another table afterwards", [][]byte{announce(ours), announce(`{"table":"public.orders"}`), gone}, "retention"},
		{"among others' again and again", append(others, gone), "retention"},
		{"a table that was the audit table", [][]byte{announce(`{"table":"public.custom_audit_log_old"}`), gone, pgoutputtest.Delete(former, 'K', row...)},
			"tamper retention"},
		{"this one, and one that was it", [][]byte{announce(ours), gone, pgoutputtest.Delete(former, 'K', row...)}, "retention tamper"},
		{"no table", [][]byte{announce(`{}`), gone}, "tamper"},
		{"nothing", [][]byte{announce(``), gone}, "tamper"},
		{"a null", [][]byte{announce(`null`), gone}, "tamper"},
		{"no JSON", [][]byte{announce(`public.custom_audit_log`), gone}, "tamper"},
		{"a table of another type", [][]byte{announce(`{"table":["public.custom_audit_log"]}`), gone}, "tamper"},
		{"cut off", [][]byte{announce(ours[:len(ours)-1]), gone}, "tamper"},
		{"endless", [][]byte{announce(ours + strings.Repeat(" ", 5<<10)), gone}, "tamper"},
		{"not a DELETE", [][]byte{announce(ours), inserted, pgoutputtest.Update(audit, 0, nil, row), pgoutputtest.Truncate(audit)},
			"audit tamper tamper"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := seedConfig
			cfg.Former = []uint32{former}
			d := begun(t, cfg, pgoutputtest.AuditRelation(), pgoutputtest.Relation(former, "public", "custom_audit_log_old", 'd',
				pgoutputtest.Column{Name: "id", Type: pgoutputtest.Int4, Key: true}, pgoutputtest.Column{Name: "a", Type: pgoutputtest.Text},
				pgoutputtest.Column{Name: "b", Type: pgoutputtest.Text}, pgoutputtest.Column{Name: "c", Type: pgoutputtest.Text},
				pgoutputtest.Column{Name: "d", Type: pgoutputtest.Text}, pgoutputtest.Column{Name: "e", Type: pgoutputtest.Text}))
			var batch decoder.Batch
			for i, m := range c.messages {
				if _, err := d.Decode(m, &batch); err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
			}
			var kinds []string
			for i := range batch.Events {
				e := &batch.Events[i]
				kinds = append(kinds, e.Kind().String())
				if got := parse(t, e.Line()); got.Kind != e.Kind().String() || got.ID != e.ID() {
					t.Errorf("kind %s, id %s in %s", e.Kind(), e.ID(), e.JSON())
				}
			}
			if got := strings.Join(kinds, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// An announcement counts for what a new connection repeats, though nothing is rendered of it.
func TestRetentionIsRememberedWhileEventsAreOnlyCounted(t *testing.T) {
	d := begun(t, seedConfig, pgoutputtest.AuditRelation())
	gone := pgoutputtest.Delete(pgoutputtest.RelationOID, 'K', "1", nil, nil, nil, nil, nil)
	for _, m := range [][]byte{samples()["MESSAGE of retention"], gone} {
		if _, err := d.Decode(m, nil); err != nil {
			t.Fatal(err)
		}
	}
	if lines := feed(t, d, gone); len(lines) != 1 || parse(t, []byte(lines[0]+"\n")).Kind != "retention" {
		t.Errorf("got %s", lines)
	}
}
