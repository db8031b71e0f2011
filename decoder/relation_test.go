package decoder_test

import (
	"slices"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

// rows are the values of "row" in lines.
func rows(lines []string) []string {
	var rows []string
	for _, line := range lines {
		_, row, _ := strings.Cut(line, `"row":`)
		rows = append(rows, strings.TrimSuffix(row, "}"))
	}
	return rows
}

func TestOnlyTheAuditTableGivesEvents(t *testing.T) {
	id := pgoutputtest.Column{Name: "id", Type: pgoutputtest.Int4, Key: true}
	relations := [][]byte{
		pgoutputtest.Relation(1, "public", "custom_audit_log", 'd', id),
		pgoutputtest.Relation(2, "public", "orders", 'd', id),
		pgoutputtest.Relation(3, "other", "custom_audit_log", 'd', id),
		pgoutputtest.Relation(4, "public", "Custom_audit_log", 'd', id),
		pgoutputtest.Relation(5, "", "custom_audit_log", 'd', id),
	}
	changes := func(oid uint32) [][]byte {
		row := []pgoutputtest.Value{"1"}
		return [][]byte{pgoutputtest.Insert(oid, row...), pgoutputtest.Update(oid, 0, nil, row),
			pgoutputtest.Delete(oid, 'K', row...), pgoutputtest.Truncate(oid)}
	}
	for _, c := range []struct {
		name string
		cfg  decoder.Config
		want []string
	}{
		{"by name", decoder.Config{Schema: "public", Table: "custom_audit_log"}, []string{"public.custom_audit_log"}},
		{"by OID", decoder.Config{RelationOID: 2}, []string{"public.orders"}},
		{"renamed since", decoder.Config{Schema: "public", Table: "renamed", RelationOID: 1}, []string{"public.custom_audit_log"}},
		{"in pg_catalog", decoder.Config{Schema: "pg_catalog", Table: "custom_audit_log"}, []string{"pg_catalog.custom_audit_log"}},
		{"nowhere", decoder.Config{Schema: "public", Table: "nowhere"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := begun(t, c.cfg, relations...)
			var tables, ops []string
			for oid := range uint32(len(relations)) {
				for _, line := range feed(t, d, changes(oid+1)...) {
					e := parse(t, []byte(line+"\n"))
					ops = append(ops, e.Op)
					if !slices.Contains(tables, e.Table) {
						tables = append(tables, e.Table)
					}
				}
			}
			if !slices.Equal(tables, c.want) {
				t.Errorf("events of %q, want %q", tables, c.want)
			}
			if want := []string{"insert", "update", "delete", "truncate"}; c.want != nil && !slices.Equal(ops, want) {
				t.Errorf("operations %q, want %q", ops, want)
			}
		})
	}
}

// RELATION comes again after every ALTER, in the middle of a transaction too, and describes what follows it.
func TestRelationChanges(t *testing.T) {
	relation := func(name string, columns ...pgoutputtest.Column) []byte {
		return pgoutputtest.Relation(1, "public", name, 'd', columns...)
	}
	id := pgoutputtest.Column{Name: "id", Type: pgoutputtest.Int4, Key: true}
	note := pgoutputtest.Column{Name: "note", Type: pgoutputtest.Text}
	cfg := seedConfig
	cfg.RelationOID = 1
	lines := feed(t, decoder.New(cfg), begin(),
		relation("custom_audit_log"), pgoutputtest.Insert(1),
		relation("custom_audit_log", id), pgoutputtest.Insert(1, "1"),
		relation("custom_audit_log", id, note), pgoutputtest.Insert(1, "2", "3"),
		relation("custom_audit_log", id, pgoutputtest.Column{Name: "note", Type: pgoutputtest.JSONB}), pgoutputtest.Insert(1, "4", "[5]"),
		relation("custom_audit_log", note, id), pgoutputtest.Insert(1, "6", "7"),
		relation("renamed", note), pgoutputtest.Insert(1, "8"),
		relation("custom_audit_log", id), pgoutputtest.Insert(1, "9"), commit())
	want := []string{`{}`, `{"id":1}`, `{"id":2,"note":"3"}`, `{"id":4,"note":[5]}`, `{"note":"6","id":7}`, `{"note":"8"}`, `{"id":9}`}
	if got := rows(lines); !slices.Equal(got, want) {
		t.Errorf("rows\n got %q\nwant %q", got, want)
	}
	if !strings.Contains(lines[5], `"table":"public.renamed"`) || !strings.Contains(lines[6], `"table":"public.custom_audit_log"`) {
		t.Errorf("tables in\n%s\n%s", lines[5], lines[6])
	}
}

// A table that was the audit table once in a session stays one: what another table of the name replaced is still evidence,
// and no server sends the name of a partitioned table again when only that has changed.
func TestRenamedTableStaysAnAuditTable(t *testing.T) {
	relation := func(oid uint32, name string) []byte {
		return pgoutputtest.Relation(oid, "public", name, 'd', pgoutputtest.Column{Name: "id", Type: pgoutputtest.Int4, Key: true})
	}
	d := begun(t, seedConfig)
	lines := feed(t, d, relation(1, "custom_audit_log"), pgoutputtest.Insert(1, "1"), relation(1, "renamed"),
		relation(2, "custom_audit_log"), pgoutputtest.Insert(2, "2"), pgoutputtest.Delete(1, 'K', "1"))
	if len(lines) != 3 || parse(t, []byte(lines[2]+"\n")).Table != "public.renamed" {
		t.Errorf("got %s", lines)
	}
	d.Reset()
	if lines := feed(t, d, begin(), relation(1, "renamed"), pgoutputtest.Insert(1, "1")); len(lines) != 0 {
		t.Errorf("after a Reset, got %s", lines)
	}
}

// A domain's TYPE message names its base type, and the domain is rendered as that. A type of the user's that has a
// built-in one's name is not.
func TestDomains(t *testing.T) {
	const domain = 16400
	for _, c := range []struct {
		schema, base, text, want string
	}{
		{"", "int4", "42", "42"},
		{"", "bool", "t", "true"},
		{"", "jsonb", `{"a": 1}`, `{"a": 1}`},
		{"", "json", "[\n]", "[ ]"},
		{"", "timestamp", "2026-11-23 08:30:00", `"2026-11-23T08:30:00"`},
		{"", "timestamptz", "2026-11-23 08:30:00+00", `"2026-11-23T08:30:00+00:00"`},
		{"", "numeric", "1.50", "1.50"},
		{"", "float8", "NaN", `"NaN"`},
		{"", "text", "42", `"42"`},
		{"", "_int4", "{42}", `"{42}"`},
		{"public", "int4", "42", `"42"`},
		{"public", "jsonb", "[]", `"[]"`},
	} {
		lines := feed(t, decoder.New(seedConfig), begin(), pgoutputtest.Type(domain, c.schema, c.base),
			pgoutputtest.Relation(1, "public", "custom_audit_log", 'd', pgoutputtest.Column{Name: "v", Type: domain}),
			pgoutputtest.Insert(1, c.text))
		if got, want := rows(lines), []string{`{"v":` + c.want + `}`}; !slices.Equal(got, want) {
			t.Errorf("%s of %s.%s: %s, want %s", c.text, c.schema, c.base, got, want)
		}
	}

	// The OID may belong to another type later.
	lines := feed(t, decoder.New(seedConfig), begin(), pgoutputtest.Type(domain, "", "int4"), pgoutputtest.Type(domain, "public", "mood"),
		pgoutputtest.Relation(1, "public", "custom_audit_log", 'd', pgoutputtest.Column{Name: "v", Type: domain}), pgoutputtest.Insert(1, "42"))
	if got, want := rows(lines), []string{`{"v":"42"}`}; !slices.Equal(got, want) {
		t.Errorf("after a second TYPE: %s, want %s", got, want)
	}
}
