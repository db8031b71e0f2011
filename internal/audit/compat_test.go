package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// long is a name of 63 bytes, the longest there is.
const long = `"a name of sixty-three bytes, which is as long as a name can: ö"`

// captureCase is tables, what is done to them, and the audit rows that come of it in row mode: operation, table, key, and
// what changed. Statement mode writes the same.
type captureCase struct {
	name    string
	since   int    // the first version that has it
	rowOnly bool   // statement mode refuses such tables
	mixed   bool   // statement mode writes in another order: a statement's inserts, updates and deletes apart
	tables  string // in a schema of their own, which is the search_path
	do      string // after they were attached
	want    string
	image   string // the first row's new image, where that is what the case is about
}

var captureCases = []captureCase{
	{
		name:   "INSERT, UPDATE, DELETE, TRUNCATE",
		tables: `CREATE TABLE t (id int PRIMARY KEY, column_name text)`,
		do: `INSERT INTO t VALUES (1, 'a'), (2, 'b'); UPDATE t SET column_name = 'c' WHERE id = 1; UPDATE t SET id = 3 WHERE id = 2;
			DELETE FROM t WHERE id = 1; TRUNCATE t; DELETE FROM t; UPDATE t SET id = 9`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			UPDATE t {"id": 1} ["column_name"]
			UPDATE t {"id": 3} ["id"]
			DELETE t {"id": 1}
			TRUNCATE t`,
	}, {
		name:   "an UPDATE that changes nothing",
		tables: `CREATE TABLE t (id int PRIMARY KEY, n numeric, s text)`,
		do:     `INSERT INTO t VALUES (1, 1.0, NULL), (2, 1.0, 'x'); UPDATE t SET id = id, n = n, s = s; UPDATE t SET s = 'x'; UPDATE t SET n = 1.00 WHERE id = 1`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			UPDATE t {"id": 1} ["s"]
			UPDATE t {"id": 1} ["n"]`,
	}, {
		name:   "changes that the images do not show",
		tables: `CREATE TABLE t (id int PRIMARY KEY, j json, b jsonb, f float8, a int[])`,
		do: `INSERT INTO t VALUES (1, '{"a":1}', NULL, 0, '{1}');
			UPDATE t SET j = '{ "a": 1 }'; UPDATE t SET b = 'null'; UPDATE t SET f = '-0', a = '{2}'; UPDATE t SET a = '[2:2]={2}'; UPDATE t SET b = '1'; UPDATE t SET b = '"1"', a = '{3}'`,
		want: `INSERT t {"id": 1}
			UPDATE t {"id": 1} ["j"]
			UPDATE t {"id": 1} ["b"]
			UPDATE t {"id": 1} ["a"]
			UPDATE t {"id": 1} ["a"]
			UPDATE t {"id": 1} ["b"]
			UPDATE t {"id": 1} ["a", "b"]`,
	}, {
		name:   "COPY",
		tables: `CREATE TABLE t (id int PRIMARY KEY, s text)`,
		do:     `COPY t FROM PROGRAM 'printf "1,a\n2,b\n"' (FORMAT csv)`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}`,
	}, {
		name:   "ON CONFLICT",
		mixed:  true,
		tables: `CREATE TABLE t (id int PRIMARY KEY, s text)`,
		do: `INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'), (1, 'c'), (3, 'd') ON CONFLICT (id) DO UPDATE SET s = excluded.s;
			INSERT INTO t VALUES (1, 'e'), (4, 'f') ON CONFLICT DO NOTHING`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			UPDATE t {"id": 1} ["s"]
			INSERT t {"id": 3}
			INSERT t {"id": 4}`,
	}, {
		name:   "MERGE",
		mixed:  true,
		since:  15,
		tables: `CREATE TABLE t (id int PRIMARY KEY, s text)`,
		do: `INSERT INTO t VALUES (1, 'a'), (2, 'b');
			MERGE INTO t USING (VALUES (1, 'x'), (2, NULL), (3, 'z')) AS n(id, s) ON t.id = n.id
			WHEN MATCHED AND n.s IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET s = n.s WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.s)`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			UPDATE t {"id": 1} ["s"]
			DELETE t {"id": 2}
			INSERT t {"id": 3}`,
	}, {
		name:  "foreign keys that cascade",
		mixed: true,
		tables: `CREATE TABLE t (id int PRIMARY KEY);
			CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
			CREATE TABLE n (id int PRIMARY KEY, t int REFERENCES t ON DELETE SET NULL)`,
		do: `INSERT INTO t VALUES (1), (2); INSERT INTO c VALUES (10, 1), (20, 2); INSERT INTO n VALUES (11, 1);
			UPDATE t SET id = 3 WHERE id = 2; DELETE FROM t`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			INSERT c {"id": 10}
			INSERT c {"id": 20}
			INSERT n {"id": 11}
			UPDATE t {"id": 3} ["id"]
			UPDATE c {"id": 20} ["t"]
			DELETE t {"id": 1}
			DELETE t {"id": 3}
			DELETE c {"id": 10}
			UPDATE n {"id": 11} ["t"]
			DELETE c {"id": 20}`,
	}, {
		name: "partitions",
		tables: `CREATE TABLE t (id int, k int, s text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
			CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
			CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id);
			CREATE TABLE t2d PARTITION OF t2 DEFAULT`,
		rowOnly: true,
		do: `INSERT INTO t VALUES (1, 1), (2, 11); INSERT INTO t1 VALUES (3, 2); UPDATE t SET s = 'x' WHERE id = 3; UPDATE t SET k = 12 WHERE id = 1;
			CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30); SET session_replication_role = replica; INSERT INTO t VALUES (4, 20); RESET session_replication_role;
			CREATE TABLE t4 (s text, dropped int, k int NOT NULL, id int NOT NULL); ALTER TABLE t4 DROP COLUMN dropped;
			ALTER TABLE t ATTACH PARTITION t4 FOR VALUES FROM (30) TO (40); INSERT INTO t VALUES (5, 30, 'y');
			ALTER TABLE t DETACH PARTITION t3; INSERT INTO t3 VALUES (6, 21); TRUNCATE t`,
		want: `INSERT t1 {"k": 1, "id": 1}
			INSERT t2d {"k": 11, "id": 2}
			INSERT t1 {"k": 2, "id": 3}
			UPDATE t1 {"k": 2, "id": 3} ["s"]
			DELETE t1 {"k": 1, "id": 1}
			INSERT t2d {"k": 12, "id": 1}
			INSERT t3 {"k": 20, "id": 4}
			INSERT t4 {"k": 30, "id": 5}
			TRUNCATE t
			TRUNCATE t1
			TRUNCATE t2
			TRUNCATE t2d`,
	}, {
		name:    "inheritance",
		tables:  `CREATE TABLE t (id int PRIMARY KEY, s text); CREATE TABLE u (more int) INHERITS (t)`,
		rowOnly: true,
		do:      `INSERT INTO u VALUES (1, 'a', 2); UPDATE t SET s = 'b'`,
		want: `INSERT u null
			UPDATE u null ["s"]`,
	}, {
		name:   "generated and identity columns",
		tables: `CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED)`,
		do:     `INSERT INTO t (n) VALUES (5), (6); UPDATE t SET n = 7 WHERE id = 1`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			UPDATE t {"id": 1} ["n", "twice"]`,
	}, {
		name:   "virtual columns, which a trigger cannot see",
		since:  18,
		tables: `CREATE TABLE t (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL)`,
		do:     `INSERT INTO t (id, n) VALUES (1, 5); UPDATE t SET n = 7; DELETE FROM t`,
		want: `INSERT t {"id": 1}
			UPDATE t {"id": 1} ["n"]
			DELETE t {"id": 1}`,
	}, {
		name: "keys: of several columns, none, nothing else, not a column",
		tables: `CREATE TABLE t (b int, "A" text, v int, PRIMARY KEY ("A", b)); CREATE TABLE n (v int);
			CREATE TABLE k (id int PRIMARY KEY); CREATE TABLE z (); CREATE TABLE o (nr int PRIMARY KEY, column_name text)`,
		do: `INSERT INTO t VALUES (1, 'x', 2); UPDATE t SET v = 3; INSERT INTO n VALUES (1), (1); DELETE FROM n; INSERT INTO k VALUES (1);
			INSERT INTO z DEFAULT VALUES; UPDATE k SET id = 2; INSERT INTO o VALUES (1, 'c'); DELETE FROM o`,
		want: `INSERT t {"A": "x", "b": 1}
			UPDATE t {"A": "x", "b": 1} ["v"]
			INSERT n null
			INSERT n null
			DELETE n null
			DELETE n null
			INSERT k {"id": 1}
			INSERT z null
			UPDATE k {"id": 2} ["id"]
			INSERT o {"nr": 1}
			DELETE o {"nr": 1}`,
	}, {
		name: "names",
		tables: `CREATE TABLE new_rows (old_row int, new_row int, old_rows int, image text, data text, key int, v int, x int, o int, e int, n text, name text, options int,
				changed int, pgwitness_ordinal int, problem text, state text, op text, "TG_OP" text, "a%s%%I \ ' "" ö" text, "null" int, PRIMARY KEY (key, image, "null"));
			CREATE TABLE image (LIKE new_rows INCLUDING ALL); CREATE TABLE ` + long + ` (` + long + ` int PRIMARY KEY, "Select" text)`,
		do: `INSERT INTO new_rows (key, image, "null", new_row) VALUES (1, 'i', 3, 4); INSERT INTO image (key, image, "null", data) VALUES (1, 'i', 3, 'd');
			UPDATE new_rows SET image = 'j', data = 'd', old_row = 1, "a%s%%I \ ' "" ö" = 'x', state = 's'; DELETE FROM image;
			INSERT INTO ` + long + ` VALUES (1, 's'); UPDATE ` + long + ` SET "Select" = 't'`,
		want: `INSERT new_rows {"key": 1, "null": 3, "image": "i"}
			INSERT image {"key": 1, "null": 3, "image": "i"}
			UPDATE new_rows {"key": 1, "null": 3, "image": "j"} ["a%s%%I \\ ' \" ö", "data", "image", "old_row", "state"]
			DELETE image {"key": 1, "null": 3, "image": "i"}
			INSERT ` + strings.Trim(long, `"`) + ` {` + long + `: 1}
			UPDATE ` + strings.Trim(long, `"`) + ` {` + long + `: 1} ["Select"]`,
	}, {
		name: "types",
		tables: `CREATE DOMAIN positive AS int CHECK (value > 0); CREATE DOMAIN positives AS positive[]; CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text[]);
			CREATE TABLE t (id positive PRIMARY KEY, c1 positives, c2 mood, c3 mood[], c4 pair, c5 pair[], c6 int4range, c7 int4multirange, c8 money, c9 interval, c10 tsvector,
				c11 bit(3), c12 varbit, c13 inet, c14 cidr, c15 macaddr, c16 json, c17 jsonb, c18 bytea, c19 float4, c20 float8, c21 numeric, c22 date, c23 timestamptz,
				c24 timestamp, c25 timetz, c26 uuid, c27 char(5), c28 "char", c29 regclass, c30 point, c31 text[][], c32 boolean, c33 pg_lsn, c34 name, c35 oid, c36 tstzrange)`,
		do: `INSERT INTO t VALUES (1, '{1,2}', 'sad', '{ok,NULL}', '(1,"{a,b}")', ARRAY[ROW(2, '{}')::pair], '[1,5)', '{[1,2),[5,7)}', '12.34', '1 mon 2 days 03:04:05.678', 'a:1 b',
				'101', '10101', '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', '{"b":1, "a":[1,2]}', '{"b":1.10}', '\xdeadbeef', 'NaN', '-Infinity', 'NaN', 'infinity',
				'2026-11-23 12:00:00.123456+02', '0044-03-15 BC', '12:00+02', '5b6f2ab4-34b8-4a3a-9f0b-3f64a4a3e3e6', 'ab', 'c', 'pg_class', '(1,2.5)', '{{a,b},{c,NULL}}',
				true, '0/16B3748', 'n', 1, '[2026-01-01 00:00+00,)');
			INSERT INTO t (id) VALUES (2); UPDATE t SET (c1, c2, c3, c4, c5, c6, c7, c8, c9, c10) = (SELECT c1, c2, c3, c4, c5, c6, c7, c8, c9, c10 FROM t WHERE id = 1) WHERE id = 2;
			UPDATE t SET c16 = '1', c17 = '1', c18 = '', c19 = 1, c20 = 0.1, c21 = 'Infinity', c23 = '-infinity', c30 = '(1,2)', c29 = NULL WHERE id = 1; DELETE FROM t`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			UPDATE t {"id": 2} ["c1", "c10", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"]
			UPDATE t {"id": 1} ["c16", "c17", "c18", "c19", "c20", "c21", "c23", "c29", "c30"]
			DELETE t {"id": 2}
			DELETE t {"id": 1}`,
		image: `{"c1": [1, 2], "c2": "sad", "c3": ["ok", null], "c4": {"a": 1, "b": ["a", "b"]}, "c5": [{"a": 2, "b": []}], "c6": "[1,5)", "c7": "{[1,2),[5,7)}", "c8": "$12.34", "c9": "1 mon 2 days 03:04:05.678", "id": 1, "c10": "'a':1 'b'", ` +
			`"c11": "101", "c12": "10101", "c13": "10.0.0.1", "c14": "10.0.0.0/8", "c15": "08:00:2b:01:02:03", "c16": {"a": [1, 2], "b": 1}, "c17": {"b": 1.10}, "c18": "\\xdeadbeef", "c19": "NaN", ` +
			`"c20": "-Infinity", "c21": "NaN", "c22": "infinity", "c23": "2026-11-23T10:00:00.123456+00:00", "c24": "0044-03-15T00:00:00 BC", "c25": "12:00:00+02", "c26": "5b6f2ab4-34b8-4a3a-9f0b-3f64a4a3e3e6", ` +
			`"c27": "ab   ", "c28": "c", "c29": "pg_class", "c30": "(1,2.5)", "c31": [["a", "b"], ["c", null]], "c32": true, "c33": "0/16B3748", "c34": "n", "c35": "1", "c36": "[\"2026-01-01 00:00:00+00\",)"}`,
	}, {
		name: "large values",
		tables: `CREATE TABLE t (id int PRIMARY KEY, s text, b bytea, j jsonb); ALTER TABLE t ALTER s SET STORAGE EXTERNAL;
			ALTER TABLE t ALTER b SET STORAGE EXTERNAL`,
		do: `INSERT INTO t VALUES (1, repeat('x', 5000)), (2, repeat('ö', 600000)), (3, 's'); INSERT INTO t (id, b) VALUES (4, decode(repeat('00', 1048577), 'hex'));
			UPDATE t SET s = repeat('ä', 600000) WHERE id = 2; UPDATE t SET s = 'u', j = to_jsonb(repeat('y', 1100000)); DELETE FROM t`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			INSERT t {"id": 3}
			INSERT t {"id": 4}
			UPDATE t {"id": 2} ["s"]
			UPDATE t {"id": 1} ["j", "s"]
			UPDATE t {"id": 3} ["j", "s"]
			UPDATE t {"id": 4} ["j", "s"]
			UPDATE t {"id": 2} ["j", "s"]
			DELETE t {"id": 1}
			DELETE t {"id": 3}
			DELETE t {"id": 4}
			DELETE t {"id": 2}`,
	}, {
		name:   "savepoints",
		tables: `CREATE TABLE t (id int PRIMARY KEY)`,
		do: `BEGIN; INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2); ROLLBACK TO a; INSERT INTO t VALUES (3); COMMIT;
			BEGIN; INSERT INTO t VALUES (4); ROLLBACK`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 3}`,
	}, {
		name:   "columns and tables renamed, added and dropped after attach",
		tables: `CREATE TABLE t (id int PRIMARY KEY, a text, b text)`,
		do: `INSERT INTO t VALUES (1, 'a', 'b'); ALTER TABLE t RENAME a TO c; UPDATE t SET c = 'x'; ALTER TABLE t ADD d json DEFAULT '{}'; UPDATE t SET d = '[]';
			ALTER TABLE t DROP b; ALTER TABLE t RENAME id TO nr; INSERT INTO t VALUES (2, 'y', NULL); ALTER TABLE t RENAME TO "T"; DELETE FROM "T"`,
		want: `INSERT t {"id": 1}
			UPDATE t {"id": 1} ["c"]
			UPDATE t {"id": 1} ["d"]
			INSERT t {"nr": 2}
			DELETE T {"nr": 1}
			DELETE T {"nr": 2}`,
	}, {
		// plpgsql fails to read NEW.id from here on in every session that wrote before.
		name:   "types of columns altered, and the tutorial's columns renamed, after attach",
		tables: `CREATE TABLE t (id int PRIMARY KEY, column_name text)`,
		do: `INSERT INTO t VALUES (1, 'a'); ALTER TABLE t ALTER id TYPE bigint; INSERT INTO t VALUES (2, 'b'); UPDATE t SET column_name = 'c' WHERE id = 2;
			SELECT pgwitness.add_partitions(6); INSERT INTO t VALUES (6, 'b'); ALTER TABLE t ALTER id TYPE int; INSERT INTO t VALUES (7, 'b');
			ALTER TABLE t ALTER id TYPE text; INSERT INTO t VALUES (8, 'b'); DISCARD PLANS; INSERT INTO t VALUES (9, 'b'); ALTER TABLE t ALTER id TYPE int USING id::int;
			ALTER TABLE t ALTER column_name TYPE varchar(9); INSERT INTO t VALUES (3, 'd'); ALTER TABLE t RENAME column_name TO a; INSERT INTO t VALUES (4, 'e');
			ALTER TABLE t RENAME id TO nr; INSERT INTO t VALUES (5, 'f'); DELETE FROM t WHERE nr = 1`,
		want: `INSERT t {"id": 1}
			INSERT t {"id": 2}
			UPDATE t {"id": 2} ["column_name"]
			INSERT t {"id": 6}
			INSERT t {"id": 7}
			INSERT t {"id": "8"}
			INSERT t {"id": "9"}
			INSERT t {"id": 3}
			INSERT t {"id": 4}
			INSERT t {"nr": 5}
			DELETE t {"nr": 1}`,
	}, {
		name: "row level security",
		tables: `CREATE TABLE t (id int PRIMARY KEY, owner text); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
			CREATE POLICY own ON t USING (owner = current_user); GRANT ALL ON t TO app; ALTER TABLE t OWNER TO app; GRANT USAGE ON SCHEMA SCHEMA TO app`,
		do: `SET ROLE app; INSERT INTO t VALUES (1, 'app'); UPDATE t SET id = 2; DELETE FROM t; RESET ROLE`,
		want: `INSERT t {"id": 1}
			UPDATE t {"id": 2} ["id"]
			DELETE t {"id": 2}`,
	}, {
		name:   "settings of the session",
		tables: `CREATE TABLE t (id int PRIMARY KEY, i interval, b bytea, f float8, z timestamptz, d date, m money, r regclass, a text[], s text)`,
		do: `SET "IntervalStyle" = 'sql_standard'; SET bytea_output = 'escape'; SET extra_float_digits = -3; SET "TimeZone" = 'Asia/Tokyo'; SET "DateStyle" = 'SQL, DMY';
			SET quote_all_identifiers = on; SET array_nulls = off; SET transform_null_equals = on; SET standard_conforming_strings = off; SET escape_string_warning = off;
			SET backslash_quote = off; SET row_security = off; SET plpgsql.variable_conflict = 'use_column'; SET plpgsql.extra_errors = 'all'; SET search_path = pg_temp;
			SET xmloption = 'document'; SET synchronize_seqscans = off; SET enable_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
			INSERT INTO SCHEMA.t VALUES (1, '1 day 2:00', 'ab', 0.1::float8 + 0.2, 'epoch', '2026-11-23', 1, 'pg_class', '{"NULL"}', 'x\\\\y'); UPDATE SCHEMA.t SET f = 1; RESET ALL`,
		want: `INSERT t {"id": 1}
			UPDATE t {"id": 1} ["f"]`,
		image: `{"a": ["NULL"], "b": "\\x6162", "d": "2026-11-23", "f": 0.30000000000000004, "i": "1 day 02:00:00", "m": "$1.00", "r": "pg_class", "s": "x\\\\y", ` +
			`"z": "1970-01-01T00:00:00+00:00", "id": 1}`,
	}, {
		name:   "settings of the session, and the types that most tables have",
		tables: `CREATE TABLE t (id int PRIMARY KEY, b bool, c char(3), d date, i inet, j jsonb, n numeric, u uuid, v varchar, z timestamptz, ts timestamp)`,
		do: `SET "TimeZone" = 'Asia/Tokyo'; SET "DateStyle" = 'SQL, DMY'; SET "IntervalStyle" = 'sql_standard'; SET bytea_output = 'escape';
			SET extra_float_digits = -3; SET quote_all_identifiers = on; SET plpgsql.variable_conflict = 'use_column'; SET plpgsql.extra_errors = 'all';
			INSERT INTO SCHEMA.t VALUES (1, true, 'x', '2026-11-23', '10.0.0.1', '{"k": 1.50}', 1.50, '00000000-0000-0000-0000-000000000001', 'v', 'epoch', '2026-11-23 01:02:03');
			UPDATE SCHEMA.t SET n = 1.5; RESET ALL`,
		want: `INSERT t {"id": 1}
			UPDATE t {"id": 1} ["n"]`,
		image: `{"b": true, "c": "x  ", "d": "2026-11-23", "i": "10.0.0.1", "j": {"k": 1.50}, "n": 1.50, "u": "00000000-0000-0000-0000-000000000001", ` +
			`"v": "v", "z": "1970-01-01T00:00:00+00:00", "id": 1, "ts": "2026-11-23T01:02:03"}`,
	},
}

// TestCapture checks that every change is captured once and in row mode in the order in which it happened, and that
// statement mode writes the same row_data, byte for byte.
func TestCapture(t *testing.T) {
	t.Parallel()
	eachVersion(t, []int{14, 15, 16, 17, 18}, func(t *testing.T, s *testServer) {
		name := s.installed(t)
		d := s.open(t, name)
		exec(t, s.connect(t, name), "CREATE ROLE app")
		for i, c := range captureCases {
			t.Run(c.name, func(t *testing.T) {
				if s.version < c.since {
					return // it has no such thing
				}
				byRow := captured(t, s, d, name, fmt.Sprintf("row_%d", i), "row", c)
				if diff := cmp.Diff(lines(c.want), summaries(byRow)); diff != "" {
					t.Errorf("row mode (-want +got):\n%s", diff)
				}
				if image := rowData(strings.SplitN(byRow[0], "\t", 3)[2])["new"]; c.image != "" && image != c.image {
					t.Errorf("the first row is\n%s, want\n%s", image, c.image)
				}
				if c.rowOnly {
					return
				}
				byStatement := captured(t, s, d, name, fmt.Sprintf("statement_%d", i), "statement", c)
				if c.mixed {
					slices.Sort(byRow)
					slices.Sort(byStatement)
				}
				if diff := cmp.Diff(byRow, byStatement); diff != "" {
					t.Errorf("statement mode (-row +statement):\n%s", diff)
				}
			})
		}
	})
}

// captured makes c's tables in a schema, attaches them, does what is to be done, and returns the audit rows: operation,
// table and row_data, separated by tabs.
func captured(t *testing.T, s *testServer, d *Database, database, schema, mode string, c captureCase) []string {
	t.Helper()
	conn := s.connect(t, database)
	exec(t, conn, "CREATE SCHEMA "+schema+"; SET search_path = "+schema)
	exec(t, conn, strings.ReplaceAll(c.tables, "SCHEMA SCHEMA", "SCHEMA "+schema))
	apply(t, d, func() (Script, error) { return d.Attach(t.Context(), Attach{Schemas: []string{schema}, Mode: mode}) })
	for statement := range strings.SplitSeq(strings.ReplaceAll(c.do, "SCHEMA.", schema+"."), ";") { // each a message, as applications do
		exec(t, conn, statement)
	}
	rows := ask(t, conn, `SELECT string_agg(concat_ws(E'\t', event_type, table_name, row_data), E'\n' ORDER BY id)
		FROM public.custom_audit_log WHERE schema_name = '`+schema+`'`)
	return strings.Split(rows, "\n")
}

// summaries are audit rows as a case's want has them.
func summaries(rows []string) []string {
	var short []string
	for _, row := range rows {
		fields := strings.SplitN(row, "\t", 3)
		data := rowData(fields[2])
		line := fields[0] + " " + fields[1]
		if fields[0] != "TRUNCATE" {
			line += " " + data["key"]
		}
		if fields[0] == "UPDATE" {
			line += " " + data["changed"]
		}
		short = append(short, line)
	}
	return short
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}
