package decoder_test

import (
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

// The seed's trigger reads NEW, of which there is nothing in a DELETE.
func TestIncomplete(t *testing.T) {
	const seed = `{"id": null, "event_type": "DELETE", "column_name": null}`
	for _, c := range []struct {
		name, eventType string
		rowData         pgoutputtest.Value
		want            bool
	}{
		{"the seed's", "DELETE", seed, true},
		{"in small letters", "delete", strings.ReplaceAll(seed, "DELETE", "delete"), true},
		{"no member but the type", "DELETE", `{"event_type": "DELETE"}`, false},
		{"no member", "DELETE", `{}`, false},
		{"spelled otherwise", "DELETE", " {\n\t\"id\" : null ,\r\n\"q\\\"\\\\\": null, \"event_type\": \"DEL\\\"ETE\"\n} ", true},
		{"an INSERT of nulls", "INSERT", seed, false},
		{"a TRUNCATE", "TRUNCATE", seed, false},
		{"a value", "DELETE", `{"id": null, "event_type": "DELETE", "column_name": "a"}`, false},
		{"a number", "DELETE", `{"id": 7}`, false},
		{"something empty", "DELETE", `{"id": null, "name": ""}`, false},
		{"false", "DELETE", `{"id": false}`, false},
		{"an object of nulls", "DELETE", `{"old": {"id": null}}`, false},
		{"a type that is no text", "DELETE", `{"event_type": 1}`, false},
		{"an array of null", "DELETE", `[null]`, false},
		{"a JSON null", "DELETE", `null`, false},
		{"no row_data", "DELETE", nil, false},
		{"of this project's function", "DELETE", `{"v": 2, "event_type": "DELETE", "old": null}`, false},
		{"more nulls than are looked through", "DELETE", `{"` + strings.Repeat("x", 5<<10) + `": null}`, false},
		{"cut off", "DELETE", `{"id": null`, false},
		{"cut off in a name", "DELETE", `{"id`, false},
		{"no colon", "DELETE", `{"id" null}`, false},
		{"no name", "DELETE", `{null}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var batch decoder.Batch
			d := begun(t, seedConfig, pgoutputtest.AuditRelation())
			if _, err := d.Decode(pgoutputtest.Insert(pgoutputtest.RelationOID, "1", c.eventType, nil, nil, nil, c.rowData), &batch); err != nil {
				t.Fatal(err)
			}
			e := &batch.Events[0]
			if e.Incomplete() != c.want || strings.HasSuffix(string(e.JSON()), `},"incomplete":true}`) != c.want {
				t.Errorf("incomplete: %t in %s", e.Incomplete(), e.JSON())
			}
			if _, rest, ok := strings.Cut(string(e.JSON()), string(e.Row())); !ok || !c.want && rest != "}" {
				t.Errorf("after the row comes %s", rest)
			}
		})
	}
}

// What is no audit event is none of an incomplete one, and other tables' row_data may be anything.
func TestIncompleteIsAnAuditEventsRowData(t *testing.T) {
	row := []pgoutputtest.Value{"1", "DELETE", nil, nil, nil, `{"id": null}`}
	text := pgoutputtest.Relation(1, "public", "custom_audit_log", 'd',
		pgoutputtest.Column{Name: "event_type", Type: pgoutputtest.Text}, pgoutputtest.Column{Name: "row_data", Type: pgoutputtest.Text})
	without := pgoutputtest.Relation(1, "public", "custom_audit_log", 'd', pgoutputtest.Column{Name: "event_type", Type: pgoutputtest.Text})
	for name, lines := range map[string][]string{
		"tampering": feed(t, begun(t, seedConfig, pgoutputtest.AuditRelation()),
			pgoutputtest.Update(pgoutputtest.RelationOID, 0, nil, row), pgoutputtest.Delete(pgoutputtest.RelationOID, 'O', row...)),
		"a text":      feed(t, begun(t, seedConfig, text), pgoutputtest.Insert(1, "DELETE", `{"id": null}`)),
		"no row_data": feed(t, begun(t, seedConfig, without), pgoutputtest.Insert(1, "DELETE")),
	} {
		if len(lines) == 0 || strings.Contains(strings.Join(lines, "\n"), "incomplete") {
			t.Errorf("%s: %s", name, lines)
		}
	}
}
