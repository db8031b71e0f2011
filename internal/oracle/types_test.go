package oracle

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// typesSetup makes the types of a user's that typeColumns has.
const typesSetup = `CREATE TYPE mood AS ENUM ('sad', 'quite "ok"', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN small_positive AS positive CHECK (VALUE < 100);
CREATE DOMAIN document AS jsonb;
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN label AS text;
CREATE DOMAIN numbers AS int[];
CREATE DOMAIN flag AS bool;
CREATE SCHEMA shadow;
CREATE TYPE shadow.int4 AS ENUM ('1', 'one');
`

// typeColumn is a column of a type, and a value for each row; missing ones are null.
type typeColumn struct {
	name, typ string
	// asText marks types that to_json takes apart, and events render as the output function's text.
	asText bool
	values []string
}

// alphabets is text of many scripts, with the characters that JSON escapes and some that it might.
const alphabets = "naïve Ελλάς Кириллица עברית العربية हिन्दी 日本語 한국어 ไทย 😀 👩‍👩‍👧 e\u0301 \u2028\u2029 \u00a0\u200b\ufeff \u007f\u0085 " +
	`"quoted" back\slash </script> & 'single' $1 %s \u0041`

var control = func() string {
	var b strings.Builder
	for c := range byte(0x20) {
		if c != 0 { // which PostgreSQL's text cannot hold
			b.WriteByte(c)
		}
	}
	return b.String()
}()

// typeColumns are the seed's six columns and one of every type, in the order of declaration; the table has them shuffled.
var typeColumns = []typeColumn{
	{"id", "serial PRIMARY KEY", false, []string{"1", "2"}},
	{"event_type", "varchar(50)", false, []string{"INSERT", "update"}},
	{"event_timestamp", "timestamp", false, []string{"2026-11-23 08:29:59.98", "infinity"}},
	{"user_name", "varchar(50)", false, []string{"app", "o'brien"}},
	{"table_name", "varchar(50)", false, []string{"orders", `"Quoted Table"`}},
	{"row_data", "jsonb", false, []string{`{"id": 7, "big": 1234567890123456789012345678901234567890.10, "s": "é\u0001\n\"", "a": [null, true]}`, "null"}},

	{"bool", "bool", false, []string{"t", "f"}},
	{"int2", "int2", false, []string{"-32768", "32767"}},
	{"int4", "int4", false, []string{"-2147483648", "0"}},
	{"int8", "int8", false, []string{"-9223372036854775808", "9223372036854775807"}},
	{"float4", "float4", false, []string{"1e-45", "3.4028235e+38"}},
	{"float4_special", "float4", false, []string{"NaN", "-Infinity"}},
	{"float8", "float8", false, []string{"1e-320", "-0"}},
	{"float8_third", "float8", false, []string{"0.3333333333333333", "1.7976931348623157e+308"}},
	{"float8_special", "float8", false, []string{"NaN", "Infinity"}},
	{"numeric", "numeric", false, []string{"12345678901234567890123.4567890123456789000", "-0.00000000000000000001"}},
	{"numeric_special", "numeric", false, []string{"NaN", "-Infinity"}},
	{"numeric_scale", "numeric(12,4)", false, []string{"1.5", "-99999999.9999"}},
	{"text", "text", false, []string{alphabets, control}},
	{"text_empty", "text", false, []string{" ", "\n"}},
	{"char_padded", "char(5)", false, []string{"ab", "abcde"}},
	{"char_single", `"char"`, false, []string{"x", "'"}},
	{"name", "name", false, []string{"a_name", "Ä name"}},
	{"citext", "citext", false, []string{"MiXeD", "é"}},
	{"bytea", "bytea", false, []string{`\x00ff5c2227`, `\x`}},
	{"uuid", "uuid", false, []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"}},
	{"inet", "inet", false, []string{"192.168.0.1", "2001:db8::/32"}},
	{"cidr", "cidr", false, []string{"10.0.0.0/8", "::1/128"}},
	{"macaddr", "macaddr", false, []string{"08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"}},
	{"macaddr8", "macaddr8", false, []string{"08:00:2b:01:02:03:04:05", "00:00:00:00:00:00:00:00"}},
	{"date", "date", false, []string{"2026-11-23", "0044-03-15 BC"}},
	{"date_special", "date", false, []string{"infinity", "5874897-12-31"}},
	{"time", "time", false, []string{"23:59:59.999999", "24:00:00"}},
	{"timetz", "timetz", false, []string{"08:30:00+05:45", "00:00:00-15:59:59"}},
	{"timestamp", "timestamp", false, []string{"12026-01-01 00:00:00.000001", "4713-11-24 00:00:00 BC"}},
	{"timestamp_special", "timestamp", false, []string{"-infinity", "0001-01-01 00:00:00"}},
	{"timestamptz", "timestamptz", false, []string{"2026-11-23 08:30:00.1+05:45", "0044-03-15 12:00:00+00 BC"}},
	{"timestamptz_special", "timestamptz", false, []string{"infinity", "12026-01-01 00:00:00-08"}},
	{"interval", "interval", false, []string{"1 year -2 mons 3 days -04:05:06.789", "-1 days +00:00:00.000001"}},
	{"money", "money", false, []string{"-1234567.89", "0"}},
	{"bit", "bit(4)", false, []string{"1010", "0000"}},
	{"varbit", "varbit", false, []string{"101", "1111111111"}},
	{"json", "json", false, []string{"{\n\t\"a\" : 1,\r\n \"a\" : 1.0e5, \"b\": \"\\u00e9\\n\" }\n", "\"\u2028\""}},
	{"jsonb", "jsonb", false, []string{`{"bb": 1, "a": {"": []}, "n": -0.00}`, `"\"\\"`}},
	{"jsonpath", "jsonpath", false, []string{`$."a"[*] ? (@ > 1)`, "$"}},
	{"xml", "xml", false, []string{"<a b=\"c\">\n<d/></a>", "plain &amp; simple"}},
	{"tsvector", "tsvector", false, []string{`'a':1A,2 'b c':3`, "'''quoted'''"}},
	{"tsquery", "tsquery", false, []string{"'a' & !'b'", "'a':*"}},
	{"point", "point", false, []string{"(0.1,-2e-10)", "(NaN,Infinity)"}},
	{"lseg", "lseg", false, []string{"[(0,0),(1,1)]", "[(1,2),(3,4)]"}},
	{"box", "box", false, []string{"(1,1),(0,0)", "(0.3333333333333333,1),(0,0)"}},
	{"path", "path", false, []string{"((0,0),(1,1))", "[(0,0),(1,1)]"}},
	{"polygon", "polygon", false, []string{"((0,0),(1,1),(1,0))", "((0,0))"}},
	{"circle", "circle", false, []string{"<(0,0),1>", "<(1,2),0.5>"}},
	{"line", "line", false, []string{"{1,-1,0}", "{0,1,2}"}},
	{"pg_lsn", "pg_lsn", false, []string{"16/B3748", "0/0"}},
	{"oid", "oid", false, []string{"4294967295", "0"}},
	{"xid8", "xid8", false, []string{"18446744073709551615", "3"}},
	{"regclass", "regclass", false, []string{"public.custom_audit_log", "pg_catalog.pg_class"}},
	{"regtype", "regtype", false, []string{"public.mood", "int4"}},
	{"int4range", "int4range", false, []string{"[1,10)", "empty"}},
	{"tstzrange", "tstzrange", false, []string{`["2026-11-23 08:30:00+05:45",infinity]`, "(,)"}},
	{"int4multirange", "int4multirange", false, []string{"{[1,3),[5,7)}", "{}"}},
	{"mood", "mood", false, []string{"sad", `quite "ok"`}},
	{"shadowing", "shadow.int4", false, []string{"1", "one"}},
	{"domain_int", "small_positive", false, []string{"42", "1"}},
	{"domain_bool", "flag", false, []string{"t", "f"}},
	{"domain_jsonb", "document", false, []string{`{"in": "a domain"}`, "[]"}},
	{"domain_timestamptz", "moment", false, []string{"2026-11-23 08:30:00+00", "infinity"}},
	{"domain_text", "label", false, []string{"42", "true"}},
	{"domain_builtin", "information_schema.cardinal_number", false, []string{"7", "0"}},

	{"int4_array", "int4[]", true, []string{"{1,NULL,-3}", "[0:1]={1,2}"}},
	{"text_array", "text[]", true, []string{`{"a b","c\"d",NULL,"NULL","e,f"}`, "{{a,b},{c,d}}"}},
	{"timestamptz_array", "timestamptz[]", true, []string{`{"2026-11-23 08:30:00+05:45"}`, "{infinity}"}},
	{"float8_array", "float8[]", true, []string{"{0.1,NaN,0.3333333333333333}", "{}"}},
	{"composite", "pair", true, []string{`(1,"two ""quoted"" \\ parts")`, "(,)"}},
	{"composite_array", "pair[]", true, []string{`{"(1,a)","(,)"}`, "{}"}},
	{"domain_array", "numbers", true, []string{"{1,2}", "{}"}},
	{"int2vector", "int2vector", true, []string{"1 2 3", "7"}},
	{"hstore", "hstore", true, []string{`a=>"b c", d=>NULL`, ""}},

	{`odd "name", \ é`, "int", false, []string{"1", "2"}},
	{"Upper", "text", false, []string{"case", "matters"}},
}

// shuffledColumns are typeColumns in the order that the table has them: the same in every run, and nobody's choice.
func shuffledColumns() []typeColumn {
	const seed = 20261123
	columns := make([]typeColumn, len(typeColumns))
	for i, j := range rand.New(rand.NewPCG(seed, seed)).Perm(len(columns)) {
		columns[i] = typeColumns[j]
	}
	return columns
}

// createTypesTable makes the audit table of all columns, with a dropped and a generated one among them.
func createTypesTable() string {
	var b strings.Builder
	b.WriteString("CREATE EXTENSION citext; CREATE EXTENSION hstore;\nCREATE TABLE custom_audit_log (dropped int")
	for i, c := range shuffledColumns() {
		if i == len(typeColumns)/2 {
			b.WriteString(",\n\tgenerated int GENERATED ALWAYS AS (1) STORED")
		}
		fmt.Fprintf(&b, ",\n\t%s %s", identifier(c.name), c.typ)
	}
	b.WriteString(");\nALTER TABLE custom_audit_log DROP dropped;")
	return b.String()
}

// insertTypes inserts the row of each column's value with that number.
func insertTypes(row int) string {
	var names, values []string
	for _, c := range typeColumns {
		if row < len(c.values) {
			names = append(names, identifier(c.name))
			values = append(values, literal(c.values[row]))
		}
	}
	return fmt.Sprintf("INSERT INTO custom_audit_log (%s) VALUES (%s)", strings.Join(names, ", "), strings.Join(values, ", "))
}

func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a value; with standard_conforming_strings, a backslash is itself.
func literal(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }
