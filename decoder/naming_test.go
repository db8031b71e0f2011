package decoder_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

func TestNaming(t *testing.T) {
	columns := func(names ...string) []pgoutputtest.Column {
		var columns []pgoutputtest.Column
		for _, name := range names {
			columns = append(columns, pgoutputtest.Column{Name: name, Type: pgoutputtest.Text})
		}
		return columns
	}
	all := columns("schema_name", "other", "user_name", "table_name")
	typed := columns("table_name", "user_name")
	typed[0].Type = pgoutputtest.JSONB
	for _, c := range []struct {
		name                string
		columns             []pgoutputtest.Column
		row                 []pgoutputtest.Value
		table, schema, user string // "-" for nil
	}{
		{"all, in another order", all, []pgoutputtest.Value{"public", "x", "app", "orders"}, "orders", "public", "app"},
		{"nulls", all, []pgoutputtest.Value{nil, "x", nil, nil}, "-", "-", "-"},
		{"empty", all, []pgoutputtest.Value{"", "x", "", ""}, "", "", ""},
		{"escaped", all, []pgoutputtest.Value{`a"b`, "x", "tab\there", `back\slash é`}, `back\slash é`, `a"b`, "tab\there"},
		{"behind what is escaped", all, []pgoutputtest.Value{"s", strings.Repeat("\"\n", 300), "u", "t"}, "t", "s", "u"},
		{"no such columns", columns("name", "user"), []pgoutputtest.Value{"a", "b"}, "-", "-", "-"},
		{"no text", typed, []pgoutputtest.Value{`{"a": 1}`, "app"}, "-", "-", "app"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var batch decoder.Batch
			d := begun(t, seedConfig, pgoutputtest.Relation(1, "public", "custom_audit_log", 'f', c.columns...))
			for _, message := range [][]byte{
				pgoutputtest.Insert(1, c.row...),
				pgoutputtest.Update(1, 'O', make([]pgoutputtest.Value, len(c.row)), c.row), // the old row is not looked at
			} {
				if _, err := d.Decode(message, &batch); err != nil {
					t.Fatal(err)
				}
			}
			for i := range batch.Events {
				e := &batch.Events[i]
				got := []string{text(e.AuditedTable()), text(e.AuditedSchema()), text(e.User())}
				if diff := cmp.Diff([]string{c.table, c.schema, c.user}, got); diff != "" {
					t.Errorf("table, schema and user of %s (-want +got):\n%s", e.JSON(), diff)
				}
			}
		})
	}
}

func text(b []byte) string {
	if b == nil {
		return "-"
	}
	return string(b)
}

func TestCopiesAreTheSameEvent(t *testing.T) {
	events := pgoutputtest.Events(0x16B3748, 1, 2)
	e := &events[1]
	before := string(e.Line())
	with := e.With("rejected", []byte(`{"sink":"kafka"}`))
	if want := strings.TrimSuffix(before, "}\n") + `,"rejected":{"sink":"kafka"}}` + "\n"; string(with.Line()) != want || !json.Valid(with.JSON()) {
		t.Errorf("the line is %s, want %s", with.Line(), want)
	}
	if string(with.Row()) != string(e.Row()) || with.ID() != e.ID() || with.Position != e.Position || string(with.User()) != "app" {
		t.Errorf("it is another event: %s", with.JSON())
	}
	clone := e.Clone()
	clear(e.Line())
	if string(clone.Line()) != before || clone.ID() == e.ID() {
		t.Errorf("the clone became %s", clone.Line())
	}
	if strings.Contains(string(with.Line()), "\x00") {
		t.Error("it shares memory with the event")
	}
}
