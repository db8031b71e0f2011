package metrics

import (
	"fmt"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

// row is an audit row of the seed's table.
func row(eventType, user, table pgoutputtest.Value) []byte {
	return pgoutputtest.Insert(pgoutputtest.RelationOID, "1", eventType, nil, user, table, "{}")
}

func TestDurableCountsByName(t *testing.T) {
	m := New(Config{Tables: 2, Users: 1})
	for i := range 2 { // whatever came first stays
		m.Durable(decode(t, 0x1000+decoder.LSN(i)*0x100,
			row("INSERT", "ann", "orders"),
			row("UPDATE", "bob", "orders"),
			row("UPDATE", "ann", "other"), // a name like any other, which shares the series of the rest
			row("INSERT", nil, nil),
			row("DELETE", "", ""),
			row("INSERT", "ann", pgoutputtest.Value(strings.Repeat("x", longestValue+1))),
			row("LOGIN", "çelik \"o'\\", "customers"),
			row("INSERT", "ann", "orders"),
			pgoutputtest.Update(pgoutputtest.RelationOID, 'O', auditRow("INSERT"), auditRow("DELETE")),
		), 0)
	}
	expect(t, m, `
pgwitness_audited_rows_total{operation="delete",table="other"} 2
pgwitness_audited_rows_total{operation="insert",table="orders"} 4
pgwitness_audited_rows_total{operation="insert",table="other"} 4
pgwitness_audited_rows_total{operation="other",table="other"} 2
pgwitness_audited_rows_total{operation="update",table="orders"} 2
pgwitness_audited_rows_total{operation="update",table="other"} 2
pgwitness_audited_user_rows_total{user="ann"} 8
pgwitness_audited_user_rows_total{user="other"} 8
`)
}

func TestFirstCome(t *testing.T) {
	const limit = 3
	f := newFirstCome(limit)
	for round := range 2 {
		for i := range 1000 {
			value := fmt.Sprintf("table %d", i)
			want := others
			if i < limit {
				want = value
			}
			if got := f.label([]byte(value)); got != want {
				t.Fatalf("in round %d, %q is counted as %q, want %q", round, value, got, want)
			}
		}
	}
	if len(f.seen) != limit {
		t.Errorf("%d values are remembered, want %d", len(f.seen), limit)
	}
	for _, value := range []string{"", strings.Repeat("x", longestValue+1)} {
		if got := newFirstCome(limit).label([]byte(value)); got != others {
			t.Errorf("%q is counted as %q", value, got)
		}
	}
	if longest := strings.Repeat("x", longestValue); newFirstCome(limit).label([]byte(longest)) != longest {
		t.Error("two names and a dot are too long")
	}
	known, unknown := []byte("table 1"), []byte("table 999")
	if n := testing.AllocsPerRun(100, func() { f.label(known); f.label(unknown) }); n != 0 {
		t.Errorf("%v allocations a value", n)
	}
}

// The schema is part of the name where the row has it, as the rows of the hardened trigger functions do.
func TestTableWithSchema(t *testing.T) {
	columns := []pgoutputtest.Column{{Name: "id", Type: 23, Key: true}, {Name: "schema_name", Type: 1043}, {Name: "table_name", Type: 1043}}
	d := decoder.New(decoder.Config{Source: "shop", Schema: "public", Table: "custom_audit_log"})
	var batch decoder.Batch
	for _, message := range [][]byte{
		pgoutputtest.Relation(1, "public", "custom_audit_log", 'd', columns...),
		pgoutputtest.Begin(0x1000, pgoutputtest.Epoch, 1),
		pgoutputtest.Insert(1, "1", "sales", "orders"),
		pgoutputtest.Insert(1, "2", "stock", "orders"),
	} {
		if _, err := d.Decode(message, &batch); err != nil {
			t.Fatal(err)
		}
	}
	m := New(Config{Tables: 2})
	m.Durable(batch.Events, 0)
	expect(t, m, `
pgwitness_audited_rows_total{operation="other",table="sales.orders"} 1
pgwitness_audited_rows_total{operation="other",table="stock.orders"} 1
`)
}
