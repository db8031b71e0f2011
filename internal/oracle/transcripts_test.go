package oracle

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/embeddedpg"
)

var update = flag.Bool("update", false, "record the transcripts in decoder/testdata anew")

const testdata = "../../decoder/testdata"

// scenario is what a transcript shows.
type scenario struct {
	name  string
	about string
	// setup makes the audit table, and a publication called pgwitness if it is not to be one of the audit table alone.
	setup string
	// options go to the output plugin beside protocol and publication.
	options string
	steps   []step
}

// step is SQL for one of the scenario's connections; without a BEGIN in it, a transaction of its own.
type step struct {
	on   int // which connection, from 0
	sql  string
	copy string // the data of a COPY FROM STDIN
}

func sql(statements ...string) (steps []step) {
	for _, s := range statements {
		steps = append(steps, step{sql: s})
	}
	return steps
}

// auditTable is what the identity scenarios tamper with; a large value of big is stored out of line.
const auditTable = `CREATE TABLE custom_audit_log (id int PRIMARY KEY, event_type text, note text NOT NULL UNIQUE, big text);
ALTER TABLE custom_audit_log ALTER big SET STORAGE EXTERNAL;
`

// announcement is the content of the message that announces retention of the audit table.
const announcement = `'{"table":"public.custom_audit_log","before":"2025-11-01T00:00:00Z"}'`

// tampering changes auditTable in every way.
var tampering = sql(
	"INSERT INTO custom_audit_log VALUES (1, 'INSERT', 'one', repeat('x', 2100)), (2, 'UPDATE', 'two', NULL)",
	"UPDATE custom_audit_log SET event_type = 'DELETE' WHERE id = 1",
	"DELETE FROM custom_audit_log WHERE id = 1",
	"UPDATE custom_audit_log SET event_type = event_type",
	"UPDATE custom_audit_log SET id = 3, note = 'three'",
	"UPDATE custom_audit_log SET big = 'filled in'",
	"DELETE FROM custom_audit_log WHERE id = 3",
	"BEGIN; DELETE FROM custom_audit_log; INSERT INTO custom_audit_log VALUES (1, 'INSERT', 'one', NULL); TRUNCATE custom_audit_log; COMMIT",
)

func scenarios(t *testing.T) []scenario {
	seed, err := os.ReadFile("../../scripts/seed.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, seedSQL, _ := strings.Cut(string(seed), "\n") // the comment says where the rest comes from
	seedSQL = "CREATE TABLE your_table (id int PRIMARY KEY, column_name text);\n" + seedSQL

	return []scenario{{
		name:  "seed",
		about: "the seed's trigger",
		setup: seedSQL,
		steps: sql(
			"INSERT INTO your_table VALUES (1, 'first'), (2, E'Ünï \"quoted\" \\\\ tab\\t')",
			"UPDATE your_table SET column_name = 'changed' WHERE id = 1",
			"DELETE FROM your_table WHERE id = 2",
			"UPDATE your_table SET id = id + 1",
			"BEGIN; INSERT INTO your_table VALUES (3, NULL); DELETE FROM your_table; COMMIT",
		),
	}, {
		name:  "transactions",
		about: "savepoints, rolled back and empty transactions, an exception, two at a time, an origin, a message, another table",
		setup: "CREATE TABLE custom_audit_log (id int PRIMARY KEY, event_type text);\nCREATE TABLE orders (id int PRIMARY KEY);\n" +
			"SELECT pg_replication_origin_create('elsewhere');\nCREATE PUBLICATION pgwitness FOR ALL TABLES;",
		options: ", 'messages', 'true'",
		steps: []step{
			{sql: `BEGIN; INSERT INTO custom_audit_log VALUES (1, 'kept');
				SAVEPOINT a; INSERT INTO custom_audit_log VALUES (2, 'rolled back'); ROLLBACK TO a;
				SAVEPOINT b; INSERT INTO custom_audit_log VALUES (3, 'kept'); RELEASE b;
				SAVEPOINT c; SAVEPOINT d; INSERT INTO custom_audit_log VALUES (4, 'rolled back'); RELEASE d; ROLLBACK TO c;
				INSERT INTO custom_audit_log VALUES (5, 'kept'); COMMIT`},
			{sql: "BEGIN; INSERT INTO custom_audit_log VALUES (6, 'rolled back'); ROLLBACK"},
			{sql: "BEGIN; COMMIT"},
			{sql: `DO $$BEGIN INSERT INTO custom_audit_log VALUES (7, 'kept');
				BEGIN INSERT INTO custom_audit_log VALUES (8, 'rolled back'); PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END; END$$`},
			{sql: "BEGIN; INSERT INTO custom_audit_log VALUES (9, 'begun first')"},
			{on: 1, sql: "BEGIN; INSERT INTO custom_audit_log VALUES (10, 'begun second'); INSERT INTO orders VALUES (1)"},
			{sql: "INSERT INTO custom_audit_log VALUES (11, 'begun first')"},
			{on: 1, sql: "INSERT INTO custom_audit_log VALUES (12, 'committed first'); COMMIT"},
			{sql: "INSERT INTO custom_audit_log VALUES (13, 'committed second'); COMMIT"},
			{sql: "INSERT INTO orders VALUES (2); UPDATE orders SET id = id + 10; DELETE FROM orders"},
			{sql: "SELECT pg_replication_origin_session_setup('elsewhere')"},
			{sql: "BEGIN; SELECT pg_replication_origin_xact_setup('0/99', '2026-11-23 08:30:00+00'); INSERT INTO custom_audit_log VALUES (14, 'from elsewhere'); COMMIT"},
			{sql: "SELECT pg_replication_origin_session_reset()"},
			{sql: "SELECT pg_logical_emit_message(true, 'inside', 'a transaction'), pg_logical_emit_message(false, 'outside', 'of one')"},
			{sql: "TRUNCATE orders, custom_audit_log"},
		},
	}, {
		name:  "prepared",
		about: "two-phase commit: one transaction committed after another that began later, one rolled back",
		setup: "CREATE TABLE custom_audit_log (id int PRIMARY KEY, event_type text);",
		steps: sql(
			"BEGIN; INSERT INTO custom_audit_log VALUES (1, 'prepared'); PREPARE TRANSACTION 'a'",
			"BEGIN; INSERT INTO custom_audit_log VALUES (2, 'given up'); PREPARE TRANSACTION 'b'",
			"INSERT INTO custom_audit_log VALUES (3, 'in between')",
			"COMMIT PREPARED 'a'",
			"ROLLBACK PREPARED 'b'",
			"INSERT INTO custom_audit_log VALUES (4, 'afterwards')",
		),
	}, {
		name:  "copy",
		about: "COPY, whose rows share a change LSN",
		setup: "CREATE TABLE custom_audit_log (id int PRIMARY KEY, event_type text, row_data jsonb);",
		steps: []step{{sql: "COPY custom_audit_log FROM STDIN", copy: "1\tINSERT\t{\"id\": 1}\n2\tUPDATE\t\\N\n3\t\\N\t[\"a\\\\tb\"]\n"}},
	}, {
		name:  "tamper-default",
		about: "changes of the audit table, REPLICA IDENTITY DEFAULT",
		setup: auditTable,
		steps: tampering,
	}, {
		name:  "tamper-full",
		about: "changes of the audit table, REPLICA IDENTITY FULL",
		setup: auditTable + "ALTER TABLE custom_audit_log REPLICA IDENTITY FULL;",
		steps: tampering,
	}, {
		name:  "tamper-index",
		about: "changes of the audit table, REPLICA IDENTITY USING INDEX of a column that is not the key",
		setup: auditTable + "ALTER TABLE custom_audit_log REPLICA IDENTITY USING INDEX custom_audit_log_note_key;",
		steps: tampering,
	}, {
		name:  "tamper-nothing",
		about: "changes of the audit table, REPLICA IDENTITY NOTHING: the publication must leave out UPDATE and DELETE",
		setup: auditTable + "ALTER TABLE custom_audit_log REPLICA IDENTITY NOTHING;\n" +
			"CREATE PUBLICATION pgwitness FOR TABLE custom_audit_log WITH (publish = 'insert, truncate');",
		steps: tampering,
	}, {
		name:    "retention",
		about:   "expired rows deleted, announced and not, with messages of other applications",
		setup:   auditTable,
		options: ", 'messages', 'true'",
		steps: sql(
			"INSERT INTO custom_audit_log SELECT n, 'INSERT', n::text, NULL FROM generate_series(1, 6) AS n",
			"BEGIN; SELECT pg_logical_emit_message(true, 'pgwitness.retention', "+announcement+"); DELETE FROM custom_audit_log WHERE id = 1; COMMIT",
			"BEGIN; SELECT pg_logical_emit_message(false, 'pgwitness.retention', "+announcement+"); DELETE FROM custom_audit_log WHERE id = 2; COMMIT",
			"BEGIN; SAVEPOINT a; SELECT pg_logical_emit_message(true, 'pgwitness.retention', "+announcement+"); ROLLBACK TO a; "+
				"DELETE FROM custom_audit_log WHERE id = 3; COMMIT",
			"BEGIN; DELETE FROM custom_audit_log WHERE id = 4; SELECT pg_logical_emit_message(true, 'pgwitness.retention', "+announcement+"); "+
				"DELETE FROM custom_audit_log WHERE id = 5; UPDATE custom_audit_log SET note = 'six'; "+
				"INSERT INTO custom_audit_log VALUES (7, 'RETENTION', 'seven', NULL); TRUNCATE custom_audit_log; COMMIT",
			"SELECT pg_logical_emit_message(true, 'pgwitness.retention', "+announcement+")",
			"SELECT pg_logical_emit_message(false, 'somebody', repeat('x', 3000)), pg_logical_emit_message(true, 'somebody', repeat('y', 3000))",
			"INSERT INTO custom_audit_log VALUES (8, 'INSERT', 'eight', NULL)",
			"DELETE FROM custom_audit_log",
		),
	}, {
		name:  "partitioned",
		about: "a partitioned audit table; a partition has its columns in another order",
		setup: `CREATE TABLE custom_audit_log (id int PRIMARY KEY, event_type text, row_data jsonb) PARTITION BY RANGE (id);
CREATE TABLE first PARTITION OF custom_audit_log FOR VALUES FROM (0) TO (100);
CREATE TABLE second (dropped int, row_data jsonb, id int NOT NULL, event_type text);
ALTER TABLE second DROP dropped;
ALTER TABLE custom_audit_log ATTACH PARTITION second FOR VALUES FROM (100) TO (200);
CREATE PUBLICATION pgwitness FOR TABLE custom_audit_log WITH (publish_via_partition_root = true);`,
		steps: sql(
			`INSERT INTO custom_audit_log VALUES (1, 'INSERT', '{"in": "first"}'), (101, 'INSERT', '{"in": "second"}'), (2, 'INSERT', '[]')`,
			"INSERT INTO second (id, event_type) VALUES (102, 'straight into the partition')",
			"UPDATE custom_audit_log SET event_type = 'UPDATE' WHERE id = 101",
			"UPDATE custom_audit_log SET id = 103 WHERE id = 1",
			"DELETE FROM custom_audit_log WHERE id = 102",
			"CREATE TABLE third PARTITION OF custom_audit_log FOR VALUES FROM (200) TO (300)",
			"INSERT INTO custom_audit_log VALUES (201, 'INSERT', NULL)",
			"TRUNCATE third",
			"TRUNCATE custom_audit_log",
		),
	}, {
		name:  "alter",
		about: "ALTER TABLE between and inside of transactions",
		setup: "CREATE TABLE custom_audit_log (id int PRIMARY KEY, event_type text, note text);",
		steps: sql(
			"INSERT INTO custom_audit_log VALUES (1, 'INSERT', '1')",
			"ALTER TABLE custom_audit_log ADD added timestamptz DEFAULT '2026-11-23 08:30:00+00'",
			"INSERT INTO custom_audit_log VALUES (2, 'INSERT', '2')",
			"BEGIN; INSERT INTO custom_audit_log VALUES (3, 'before', '3'); ALTER TABLE custom_audit_log RENAME note TO remark; "+
				"INSERT INTO custom_audit_log VALUES (4, 'after', '4'); COMMIT",
			"ALTER TABLE custom_audit_log DROP event_type",
			"INSERT INTO custom_audit_log VALUES (5, '5')",
			"BEGIN; ALTER TABLE custom_audit_log ALTER remark TYPE jsonb USING to_jsonb(remark); INSERT INTO custom_audit_log VALUES (6, '{\"a\": 6}'); COMMIT",
			"BEGIN; ALTER TABLE custom_audit_log RENAME id TO key; INSERT INTO custom_audit_log VALUES (7, '7'); ROLLBACK",
			"ALTER TABLE custom_audit_log RENAME id TO key",
			"INSERT INTO custom_audit_log VALUES (8, '8')",
			"ALTER TABLE custom_audit_log DROP CONSTRAINT custom_audit_log_pkey",
			"INSERT INTO custom_audit_log VALUES (8, '8')",
		),
	}, {
		name:  "types",
		about: "a column of every type",
		setup: typesSetup + createTypesTable(),
		steps: sql(
			"SET client_encoding = 'UTF8'; SET search_path = public",
			insertTypes(0), insertTypes(1), "INSERT INTO custom_audit_log (id) VALUES (3)",
		),
	}}
}

// TestTranscripts runs the scenarios on a server of each version and compares what they decode to with what is recorded.
// Whatever no two runs have in common (positions, times, digests of rows with a time in them) is left out.
func TestTranscripts(t *testing.T) {
	everyServer(t, func(t *testing.T, version int, server *embeddedpg.Server) {
		for _, s := range scenarios(t) {
			t.Run(s.name, func(t *testing.T) {
				database := strings.ReplaceAll(s.name, "-", "_")
				createDatabase(t, server, database)
				messages := run(t, server, database, s)
				batch := decode(t, decoder.Config{Source: "shop", Schema: "public", Table: "custom_audit_log"}, messages)
				var lines bytes.Buffer
				for i := range batch.Events {
					lines.Write(batch.Events[i].Line())
				}
				path := filepath.Join(testdata, fmt.Sprint(version), s.name)
				if *update {
					write(t, path+".pgoutput", transcript(s, connect(t, server, database).ParameterStatus("server_version"), messages))
					write(t, path+".jsonl", lines.Bytes())
				}
				recorded, err := os.ReadFile(path + ".jsonl")
				if err != nil {
					t.Fatal(err)
				}
				if got, want := lasting(t, lines.Bytes()), lasting(t, recorded); !slices.Equal(got, want) {
					t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
				}
			})
		}
	})
}

// run plays a scenario and returns the messages it gave.
func run(t *testing.T, server *embeddedpg.Server, database string, s scenario) [][]byte {
	admin := connect(t, server, database)
	admin.exec(s.setup)
	if len(admin.column("SELECT pubname FROM pg_publication")) == 0 {
		admin.exec("CREATE PUBLICATION pgwitness FOR TABLE custom_audit_log")
	}
	admin.createSlot()
	conns := []conn{connect(t, server, database), connect(t, server, database)}
	for _, step := range s.steps {
		if step.copy != "" {
			conns[step.on].copyFrom(step.sql, step.copy)
		} else {
			conns[step.on].exec(step.sql)
		}
	}
	return connectPinned(t, server, database).messages(s.options)
}

// transcript is the file that the decoder's tests read: comments after #, and each message as a Go string.
func transcript(s scenario, serverVersion string, messages [][]byte) []byte {
	var b bytes.Buffer
	comment := func(indent, text string) {
		for line := range strings.Lines(strings.TrimSpace(text)) {
			b.WriteString(strings.TrimRight("# "+indent+strings.TrimLeft(line, "\t"), " \n") + "\n")
		}
	}
	comment("", fmt.Sprintf("PostgreSQL %s: %s.", serverVersion, s.about))
	b.WriteString("#\n")
	comment("  ", s.setup)
	b.WriteString("#\n")
	for _, step := range s.steps {
		indent := "  " + strings.Repeat("\t\t", step.on)
		comment(indent, step.sql+";")
		comment(indent, step.copy)
	}
	for _, m := range messages {
		b.WriteString(quote(m) + "\n")
	}
	return b.Bytes()
}

// quote is message as a Go string of ASCII. strconv's would read characters into numbers that look like UTF-8.
func quote(message []byte) string {
	var b strings.Builder
	for _, c := range message {
		switch {
		case c == '"' || c == '\\':
			b.Write([]byte{'\\', c})
		case c >= ' ' && c <= '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return `"` + b.String() + `"`
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// lasting is of each line what every run of a scenario gives.
func lasting(t *testing.T, lines []byte) []string {
	t.Helper()
	var all []string
	for line := range bytes.Lines(lines) {
		var e struct {
			Kind, Op, Table string
			Seq             int
			Row, Old        map[string]json.RawMessage
			Unchanged       []string
			Incomplete      bool
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		delete(e.Row, "event_timestamp")
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}
