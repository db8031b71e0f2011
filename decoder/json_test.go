package decoder_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

const refused = "an error"

// valueOf is the JSON of a value of the type with that OID, or refused.
func valueOf(t testing.TB, typeOID uint32, text string) string {
	t.Helper()
	d := begun(t, seedConfig, pgoutputtest.Relation(1, "public", "custom_audit_log", 'n', pgoutputtest.Column{Name: "v", Type: typeOID}))
	var batch decoder.Batch
	if _, err := d.Decode(pgoutputtest.Insert(1, text), &batch); err != nil {
		return refused
	}
	row := batch.Events[0].Row()
	value, ok := bytes.CutPrefix(row, []byte(`{"v":`))
	if !ok {
		t.Fatalf("the row is %s", row)
	}
	return string(value[:len(value)-1])
}

func TestValues(t *testing.T) {
	const (
		float4, oid, money, array, uuid, timetz, inf = 700, 26, 790, 1007, 2950, 1266, "infinity"
		int2                                         = 21
	)
	for _, c := range []struct {
		typeOID uint32
		text    string
		want    string
	}{
		{pgoutputtest.Bool, "t", "true"},
		{pgoutputtest.Bool, "f", "false"},
		{pgoutputtest.Bool, "", refused},
		{pgoutputtest.Bool, "1", refused},

		{int2, "-32768", "-32768"},
		{pgoutputtest.Int4, "0", "0"},
		{pgoutputtest.Int4, "-0", "-0"},
		{pgoutputtest.Int8, "-9223372036854775808", "-9223372036854775808"},
		{float4, "1.5", "1.5"},
		{pgoutputtest.Float8, "-0", "-0"},
		{pgoutputtest.Float8, "1e-320", "1e-320"},
		{pgoutputtest.Float8, "1.7976931348623157e+308", "1.7976931348623157e+308"},
		{pgoutputtest.Float8, "NaN", `"NaN"`},
		{pgoutputtest.Float8, "Infinity", `"Infinity"`},
		{pgoutputtest.Float8, "-Infinity", `"-Infinity"`},
		{pgoutputtest.Numeric, "12345678901234567890.123456789012345678900", "12345678901234567890.123456789012345678900"},
		{pgoutputtest.Numeric, "0.10", "0.10"},
		{pgoutputtest.Numeric, "NaN", `"NaN"`},
		// What is no number by the grammar of JSON is a string, whatever the type says.
		{pgoutputtest.Int4, "", `""`},
		{pgoutputtest.Int4, "-", `"-"`},
		{pgoutputtest.Int4, "+1", `"+1"`},
		{pgoutputtest.Int4, "01", `"01"`},
		{pgoutputtest.Int4, "1 ", `"1 "`},
		{pgoutputtest.Int4, "0x1F", `"0x1F"`},
		{pgoutputtest.Numeric, "1.", `"1."`},
		{pgoutputtest.Numeric, ".1", `".1"`},
		{pgoutputtest.Numeric, "1.e1", `"1.e1"`},
		{pgoutputtest.Numeric, "1e", `"1e"`},
		{pgoutputtest.Numeric, "1e+", `"1e+"`},
		{pgoutputtest.Numeric, "1E-2", "1E-2"},
		{pgoutputtest.Numeric, "1e5.5", `"1e5.5"`},
		{pgoutputtest.Numeric, "1\n", `"1\n"`},

		{pgoutputtest.JSONB, `{"id": 7, "x": 1234567890123456789012345678901234567890.10}`, `{"id": 7, "x": 1234567890123456789012345678901234567890.10}`},
		{pgoutputtest.JSON, `{"a":1,"a":1.0, "b":"é\u00e9\n"}`, `{"a":1,"a":1.0, "b":"é\u00e9\n"}`},
		{pgoutputtest.JSON, "{\n\t\"a\":\r\n 1}\n", "{ \t\"a\":   1} "},
		{pgoutputtest.JSON, "null", "null"},
		{pgoutputtest.JSON, "", refused},
		{pgoutputtest.JSON, "\"\xff\"", refused},

		{pgoutputtest.Timestamp, "2026-11-23 08:29:59.98", `"2026-11-23T08:29:59.98"`},
		{pgoutputtest.Timestamp, "0044-03-15 12:00:00 BC", `"0044-03-15T12:00:00 BC"`},
		{pgoutputtest.Timestamp, "12026-01-01 00:00:00", `"12026-01-01T00:00:00"`},
		{pgoutputtest.Timestamp, inf, `"infinity"`},
		{pgoutputtest.Timestamp, "-infinity", `"-infinity"`},
		{pgoutputtest.Timestamp, "", `""`},
		{pgoutputtest.Timestamp, "\"\xff\"", refused},
		{pgoutputtest.Timestamp, "a \"b\"\n", `"a \"b\"\n"`},
		{pgoutputtest.Timestamptz, "2026-11-23 08:29:59.98+00", `"2026-11-23T08:29:59.98+00:00"`},
		{pgoutputtest.Timestamptz, "0044-03-15 12:00:00+00 BC", `"0044-03-15T12:00:00+00:00 BC"`},
		{pgoutputtest.Timestamptz, inf, `"infinity"`},

		{pgoutputtest.Date, "2026-11-23", `"2026-11-23"`},
		{timetz, "08:29:59.98+05:30", `"08:29:59.98+05:30"`},
		{pgoutputtest.Bytea, `\x00ff`, `"\\x00ff"`},
		{uuid, "00000000-0000-0000-0000-000000000001", `"00000000-0000-0000-0000-000000000001"`},
		{money, "$1.00", `"$1.00"`},
		{oid, "42", `"42"`},
		{array, "{1,NULL,3}", `"{1,NULL,3}"`},
		{99_999, `("a b",t)`, `"(\"a b\",t)"`},

		{pgoutputtest.Text, "", `""`},
		{pgoutputtest.Text, "naïve Ελλάς 日本語 😀 \u2028\u007f", "\"naïve Ελλάς 日本語 😀 \u2028\u007f\""},
		{pgoutputtest.Text, "</script>&'", `"</script>&'"`},
		{pgoutputtest.Text, "\xff", refused},
		{pgoutputtest.Text, "a\xc3", refused},
		{pgoutputtest.Text, "\xc0\x80", refused},         // an overlong NUL
		{pgoutputtest.Text, "\xed\xa0\x80", refused},     // half of a surrogate pair
		{pgoutputtest.Text, "\xf4\x90\x80\x80", refused}, // past U+10FFFF
		{99_999, "\xff", refused},
	} {
		if got := valueOf(t, c.typeOID, c.text); got != c.want {
			t.Errorf("type %d, %q: got %s, want %s", c.typeOID, c.text, got, c.want)
		}
	}
}

func TestControlCharacters(t *testing.T) {
	short := map[byte]string{'\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	for c := range byte(0x20) {
		want := short[c]
		if want == "" {
			want = fmt.Sprintf(`\u%04x`, c)
		}
		for _, typeOID := range []uint32{pgoutputtest.Text, pgoutputtest.Int4, pgoutputtest.Timestamp} {
			text := string([]byte{'a', c, 'b', ' ', c})
			if got := valueOf(t, typeOID, text); got != `"a`+want+`b `+want+`"` {
				t.Errorf("type %d: %#02x is %s", typeOID, c, got)
			}
		}
	}
}

// The names of source, schema, table and columns go the way of the values.
func TestNamesAreEscaped(t *testing.T) {
	const odd = "q\"\\\n,é"
	cfg := decoder.Config{Source: odd + "\xff", Schema: odd, Table: odd, Key: []string{odd}}
	d := begun(t, cfg, pgoutputtest.Relation(1, odd, odd, 'f', pgoutputtest.Column{Name: odd, Type: pgoutputtest.Text, Key: true}))
	var batch decoder.Batch
	for _, m := range [][]byte{pgoutputtest.Insert(1, odd),
		pgoutputtest.Update(1, 'O', []pgoutputtest.Value{odd}, []pgoutputtest.Value{pgoutputtest.Unchanged})} {
		if _, err := d.Decode(m, &batch); err != nil {
			t.Fatal(err)
		}
	}
	var lines []event
	for i := range batch.Events {
		lines = append(lines, parse(t, batch.Events[i].Line()))
		if got := lines[i]; got.Source != odd+"\ufffd" || got.Table != odd+"."+odd || got.ID != batch.Events[i].ID() {
			t.Errorf("%+v with the ID %q", got, batch.Events[i].ID())
		}
	}
	if got, want := lines[0].ID, odd+"-"+digest(map[string]string{odd: odd}); got != want {
		t.Errorf("the id is %q, want %q", got, want)
	}
	if got := lines[0].Row[odd]; got != odd {
		t.Errorf("the row is %q", lines[0].Row)
	}
	if lines[1].Old[odd] != odd || !slices.Equal(lines[1].Unchanged, []string{odd}) {
		t.Errorf("old %q, unchanged %q", lines[1].Old, lines[1].Unchanged)
	}
}

// event is a line as a consumer reads it.
type event struct {
	ID, Kind, Op, Source, Table, LSN string
	Seq                              uint64
	XID                              uint32
	CommitTime                       string `json:"commit_time"`
	Row, Old                         map[string]any
	Unchanged                        []string
	Incomplete                       bool
}

// parse reads a line, and fails unless it is one object, on one line, of the contract's keys alone.
func parse(t testing.TB, line []byte) event {
	t.Helper()
	var e event
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	d.UseNumber() // a float64 does not hold every number of PostgreSQL's
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	if !json.Valid(line) || !utf8.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 || bytes.IndexByte(line, '\r') >= 0 {
		t.Fatalf("not one line of JSON: %q", line)
	}
	return e
}

// FuzzString holds the escapes against encoding/json's reading and PostgreSQL's writing of them.
func FuzzString(f *testing.F) {
	for _, seed := range []string{"", "plain", "quo\"te", `back\slash`, "line\nbreak", "\x00\x01\x1f\x7f", "é日本😀", "\xff", "a b", "12", "2026-11-23 08:30:00+00"} {
		f.Add(seed)
	}
	escape := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if i := strings.IndexByte("\"\\\b\f\n\r\t", c); i >= 0 {
				b.WriteString(`\` + `"\bfnrt`[i:i+1])
			} else if c < ' ' {
				fmt.Fprintf(&b, `\u%04x`, c)
			} else {
				b.WriteByte(c)
			}
		}
		return `"` + b.String() + `"`
	}
	relation := pgoutputtest.Relation(1, "public", "custom_audit_log", 'n', pgoutputtest.Column{Name: "text", Type: pgoutputtest.Text},
		pgoutputtest.Column{Name: "number", Type: pgoutputtest.Numeric}, pgoutputtest.Column{Name: "time", Type: pgoutputtest.Timestamptz})
	f.Fuzz(func(t *testing.T, text string) {
		d := begun(t, seedConfig, relation)
		var batch decoder.Batch
		_, err := d.Decode(pgoutputtest.Insert(1, text, text, text), &batch)
		if (err == nil) != utf8.ValidString(text) {
			t.Fatalf("%q, which is UTF-8: %t, gives the error %v", text, utf8.ValidString(text), err)
		}
		if err != nil {
			return
		}
		var row struct{ Text, Number, Time json.RawMessage }
		if err := json.Unmarshal(batch.Events[0].Row(), &row); err != nil {
			t.Fatal(err)
		}
		if got, want := string(row.Text), escape(text); got != want {
			t.Fatalf("%q became %s, want %s", text, got, want)
		}
		var back string
		if err := json.Unmarshal(row.Text, &back); err != nil || back != text {
			t.Fatalf("%q became %s, which reads as %q, %v", text, row.Text, back, err)
		}

		// A number is passed through where encoding/json takes it for one, too, and is a string otherwise.
		var number json.Number
		want := escape(text)
		if json.Unmarshal([]byte(text), &number) == nil && number.String() == text {
			want = text
		}
		if got := string(row.Number); got != want {
			t.Fatalf("the number %q became %s, want %s", text, got, want)
		}

		// A time differs from its text in the T and the offset's minutes alone.
		var instant string
		if err := json.Unmarshal(row.Time, &instant); err != nil {
			t.Fatal(err)
		}
		withT := strings.Replace(text, " ", "T", 1)
		if !slices.Contains([]string{text, withT, withT + ":00", strings.TrimSuffix(withT, " BC") + ":00 BC"}, instant) {
			t.Fatalf("the time %q became %q", text, instant)
		}
	})
}
