package decoder_test

import (
	"slices"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

func TestTampering(t *testing.T) {
	const table = "public.custom_audit_log"
	columns := func(identity ...string) []pgoutputtest.Column {
		var cs []pgoutputtest.Column
		for _, name := range []string{"id", "note", "big"} {
			typ := uint32(pgoutputtest.Text)
			if name == "id" {
				typ = pgoutputtest.Int4
			}
			cs = append(cs, pgoutputtest.Column{Name: name, Type: typ, Key: slices.Contains(identity, name)})
		}
		return cs
	}
	byDefault := pgoutputtest.Relation(1, "public", "custom_audit_log", 'd', columns("id")...)
	full := pgoutputtest.Relation(1, "public", "custom_audit_log", 'f', columns("id", "note", "big")...)
	nothing := pgoutputtest.Relation(1, "public", "custom_audit_log", 'n', columns()...)
	index := pgoutputtest.Relation(1, "public", "custom_audit_log", 'i', columns("note")...)
	other := pgoutputtest.Relation(otherOID, "public", "orders", 'd', pgoutputtest.Column{Name: "id", Type: pgoutputtest.Int4, Key: true})
	type row = map[string]string
	type values = []pgoutputtest.Value
	const at = "-0/16B3748/0"

	for _, c := range []struct {
		name     string
		relation []byte
		key      []string
		message  []byte
		op       string
		id       string
		rest     string
	}{
		{name: "update, key unchanged", relation: byDefault,
			message: pgoutputtest.Update(1, 0, nil, values{"7", "b", nil}),
			op:      "update", id: "7-" + digest(row{"id": "7", "note": "b"}) + at,
			rest: `{"id":7,"note":"b","big":null}}`},
		{name: "update, key changed", relation: byDefault,
			message: pgoutputtest.Update(1, 'K', values{"6", nil, nil}, values{"7", "b", nil}),
			op:      "update", id: "7-" + digest(row{"id": "7", "note": "b"}) + at,
			rest: `{"id":7,"note":"b","big":null},"old":{"id":6}}`},
		{name: "update, identity full", relation: full,
			message: pgoutputtest.Update(1, 'O', values{"7", "a", "kept"}, values{"7", nil, pgoutputtest.Unchanged}),
			op:      "update", id: digest(row{"id": "7"}) + at,
			rest: `{"id":7,"note":null},"old":{"id":7,"note":"a","big":"kept"},"unchanged":["big"]}`},
		{name: "update, identity full, key configured", relation: full, key: []string{"id"},
			message: pgoutputtest.Update(1, 'O', values{"7", "a", nil}, values{"7", "b", nil}),
			op:      "update", id: "7-" + digest(row{"id": "7", "note": "b"}) + at,
			rest: `{"id":7,"note":"b","big":null},"old":{"id":7,"note":"a","big":null}}`},
		{name: "update, two columns not sent", relation: byDefault,
			message: pgoutputtest.Update(1, 0, nil, values{"7", pgoutputtest.Unchanged, pgoutputtest.Unchanged}),
			op:      "update", id: "7-" + digest(row{"id": "7"}) + at,
			rest: `{"id":7},"unchanged":["note","big"]}`},
		{name: "update, the key not sent", relation: byDefault,
			message: pgoutputtest.Update(1, 0, nil, values{pgoutputtest.Unchanged, "b", nil}),
			op:      "update", id: digest(row{"note": "b"}) + at,
			rest: `{"note":"b","big":null},"unchanged":["id"]}`},
		{name: "update, no identity", relation: nothing,
			message: pgoutputtest.Update(1, 0, nil, values{"7", "b", nil}),
			op:      "update", id: digest(row{"id": "7", "note": "b"}) + at,
			rest: `{"id":7,"note":"b","big":null}}`},
		{name: "delete, by key", relation: byDefault,
			message: pgoutputtest.Delete(1, 'K', "7", nil, nil),
			op:      "delete", id: "7-" + digest(row{"id": "7"}) + at,
			rest: `{"id":7}}`},
		{name: "delete, identity full", relation: full, key: []string{"id"},
			message: pgoutputtest.Delete(1, 'O', "7", "a", nil),
			op:      "delete", id: "7-" + digest(row{"id": "7", "note": "a"}) + at,
			rest: `{"id":7,"note":"a","big":null}}`},
		{name: "delete, by an index that the key is not in", relation: index, key: []string{"id"},
			message: pgoutputtest.Delete(1, 'K', nil, "a", nil),
			op:      "delete", id: digest(row{"note": "a"}) + at,
			rest: `{"note":"a"}}`},
		{name: "delete, by an index that half of the key is in", relation: index, key: []string{"note", "big"},
			message: pgoutputtest.Delete(1, 'K', nil, "a", nil),
			op:      "delete", id: digest(row{"note": "a"}) + at,
			rest: `{"note":"a"}}`},
		{name: "truncate", relation: byDefault,
			message: pgoutputtest.Truncate(1),
			op:      "truncate", id: digest(nil) + at, rest: `null}`},
		{name: "truncate with other tables", relation: byDefault,
			message: pgoutputtest.Truncate(otherOID, 1, otherOID),
			op:      "truncate", id: digest(nil) + at, rest: `null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := seedConfig
			cfg.Key = c.key
			lines := feed(t, begun(t, cfg, c.relation, other), c.message)
			if want := head(c.id, "tamper", c.op, table, 0) + c.rest; len(lines) != 1 || lines[0] != want {
				t.Errorf("\n got %s\nwant %s", lines, want)
			}
		})
	}
}

// A sink that keeps one event for each id must keep both the row and what was done to it.
func TestTamperingNeverHasTheIDOfTheRow(t *testing.T) {
	cfg := seedConfig
	cfg.Key = []string{"id"}
	d := begun(t, cfg, pgoutputtest.Relation(1, "public", "custom_audit_log", 'f',
		pgoutputtest.Column{Name: "id", Type: pgoutputtest.Int4, Key: true}))
	row := []pgoutputtest.Value{"7"}
	var batch decoder.Batch
	for _, m := range [][]byte{pgoutputtest.Insert(1, row...), pgoutputtest.Update(1, 'O', row, row),
		pgoutputtest.Update(1, 'O', row, row), pgoutputtest.Delete(1, 'O', row...)} {
		if _, err := d.Decode(m, &batch); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]decoder.Op{}
	for i := range batch.Events {
		e := &batch.Events[i]
		if op, ok := seen[e.ID()]; ok {
			t.Errorf("%s and %s have the id %s", op, e.Op(), e.ID())
		}
		seen[e.ID()] = e.Op()
	}
}
