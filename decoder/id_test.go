package decoder_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

func TestID(t *testing.T) {
	type row = map[string]string
	column := func(name string, key bool) pgoutputtest.Column {
		return pgoutputtest.Column{Name: name, Type: pgoutputtest.Text, Key: key}
	}
	relation := func(identity byte, columns ...pgoutputtest.Column) []byte {
		return pgoutputtest.Relation(1, "public", "custom_audit_log", identity, columns...)
	}
	const at = "-0/16B3748/0"

	for _, c := range []struct {
		name     string
		relation []byte
		key      []string
		row      []pgoutputtest.Value
		want     string
	}{
		{"one key", relation('d', column("id", true), column("x", false)), nil,
			[]pgoutputtest.Value{"42", "a"}, "42-" + digest(row{"id": "42", "x": "a"})},
		{"nulls are not in the digest", relation('d', column("id", true), column("x", false)), nil,
			[]pgoutputtest.Value{"42", nil}, "42-" + digest(row{"id": "42"})},
		{"empty text is", relation('d', column("id", true), column("x", false)), nil,
			[]pgoutputtest.Value{"42", ""}, "42-" + digest(row{"id": "42", "x": ""})},
		{"the digest is sorted by name, in bytes", relation('d', column("é", false), column("b", true), column("B", false), column("a", false), column("aa", false)), nil,
			[]pgoutputtest.Value{"1", "2", "3", "4", "5"}, "2-" + digest(row{"é": "1", "b": "2", "B": "3", "a": "4", "aa": "5"})},
		{"two keys, in the table's order", relation('d', column("b", true), column("x", false), column("a", true)), []string{"a", "b"},
			[]pgoutputtest.Value{"1", "x", "2"}, "1,2-" + digest(row{"b": "1", "x": "x", "a": "2"})},
		{"keys of any text", relation('d', column("a", true), column("b", true), column("c", true)), nil,
			[]pgoutputtest.Value{`q"u\o`, "", "x,y-z\n"}, "q\"u\\o,,x,y-z\n-" + digest(row{"a": `q"u\o`, "b": "", "c": "x,y-z\n"})},
		{"an empty key", relation('d', column("id", true)), nil, []pgoutputtest.Value{""}, "-" + digest(row{"id": ""})},
		{"no key", relation('d', column("id", false)), nil, []pgoutputtest.Value{"42"}, digest(row{"id": "42"}) + at},
		{"no key, identity nothing", relation('n', column("id", false)), nil, []pgoutputtest.Value{"42"}, digest(row{"id": "42"}) + at},
		{"identity full is not a key", relation('f', column("id", true), column("x", true)), nil,
			[]pgoutputtest.Value{"42", "a"}, digest(row{"id": "42", "x": "a"}) + at},
		{"an index is not the key", relation('i', column("id", false), column("x", true)), nil,
			[]pgoutputtest.Value{"42", "a"}, digest(row{"id": "42", "x": "a"}) + at},
		{"identity full, key configured", relation('f', column("id", true), column("x", true)), []string{"id"},
			[]pgoutputtest.Value{"42", "a"}, "42-" + digest(row{"id": "42", "x": "a"})},
		{"identity nothing, key configured", relation('n', column("id", false), column("x", false)), []string{"id"},
			[]pgoutputtest.Value{"42", "a"}, "42-" + digest(row{"id": "42", "x": "a"})},
		{"an index, key configured", relation('i', column("id", false), column("x", true)), []string{"id"},
			[]pgoutputtest.Value{"42", "a"}, "42-" + digest(row{"id": "42", "x": "a"})},
		{"a deferrable key, configured", relation('d', column("id", false), column("x", false)), []string{"id"},
			[]pgoutputtest.Value{"42", "a"}, "42-" + digest(row{"id": "42", "x": "a"})},
		{"the key had another name when the row was written", relation('d', column("old_id", true), column("x", false)), []string{"id"},
			[]pgoutputtest.Value{"42", "a"}, "42-" + digest(row{"old_id": "42", "x": "a"})},
		{"the key was another column when the row was written", relation('d', column("id", true), column("x", false)), []string{"x"},
			[]pgoutputtest.Value{"42", "a"}, "42-" + digest(row{"id": "42", "x": "a"})},
		{"a configured column that may be null", relation('n', column("id", false), column("x", false)), []string{"id", "x"},
			[]pgoutputtest.Value{"42", nil}, digest(row{"id": "42"}) + at},
		{"no columns at all", relation('d'), nil, nil, digest(nil) + at},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := seedConfig
			cfg.Key = c.key
			d := begun(t, cfg, c.relation)
			var batch decoder.Batch
			if _, err := d.Decode(pgoutputtest.Insert(1, c.row...), &batch); err != nil {
				t.Fatal(err)
			}
			e := &batch.Events[0]
			if e.ID() != c.want || parse(t, e.Line()).ID != c.want {
				t.Errorf("\n got %q\nline %s\nwant %q", e.ID(), e.JSON(), c.want)
			}
		})
	}
}

// Values of every size around those that the digest treats differently, in every order of columns.
func TestDigest(t *testing.T) {
	const seed = 20261123
	random := rand.New(rand.NewPCG(seed, seed))
	sizes := []int{0, 1, 2, 100, 1000, 4094, 4095, 4096, 4097, 5000, 8192, 10_000}
	for round := range 300 {
		var columns []pgoutputtest.Column
		var values []pgoutputtest.Value
		row := map[string]string{}
		for i := range random.IntN(12) {
			name := fmt.Sprintf("%c%d%s", 'a'+random.IntN(26), i, strings.Repeat("n", random.IntN(60)))
			columns = append(columns, pgoutputtest.Column{Name: name, Type: pgoutputtest.Text})
			if random.IntN(4) == 0 {
				values = append(values, nil)
				continue
			}
			row[name] = strings.Repeat(string(rune('a'+random.IntN(26))), sizes[random.IntN(len(sizes))])
			values = append(values, row[name])
		}
		d := begun(t, seedConfig, pgoutputtest.Relation(1, "public", "custom_audit_log", 'd', columns...))
		lines := feed(t, d, pgoutputtest.Insert(1, values...), pgoutputtest.Insert(1, values...))
		for i, line := range lines {
			if want := fmt.Sprintf("%s-0/16B3748/%d", digest(row), i); parse(t, []byte(line+"\n")).ID != want {
				t.Fatalf("round %d: the id in %.200s is not %s", round, line, want)
			}
		}
	}
}
