package audit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgwitness/scripts"
)

// seeded is database with your_table, the seed, and an application's role that may write into both.
func (s *testServer) seeded(t *testing.T, more string) string {
	t.Helper()
	name := s.database(t)
	conn := s.connect(t, name)
	s.connectAs(t, name, "app", "")
	exec(t, conn, "CREATE TABLE your_table (id serial PRIMARY KEY, column_name text)")
	exec(t, conn, scripts.Seed)
	exec(t, conn, `GRANT ALL ON your_table TO app; GRANT SELECT, INSERT ON custom_audit_log TO app;
		GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app; GRANT CREATE ON SCHEMA public TO app; `+more)
	return name
}

func (s *testServer) harden(t *testing.T, database string, o Harden) string {
	t.Helper()
	d := s.open(t, database)
	return apply(t, d, func() (Script, error) { return d.Harden(t.Context(), o) })
}

func (s *testServer) install(t *testing.T, database string) {
	t.Helper()
	d := s.open(t, database)
	apply(t, d, func() (Script, error) { return d.Install(t.Context(), nil) })
}

// The table is as it was and the functions too, but for what Unharden says that it leaves.
func TestUnharden(t *testing.T) {
	const snapshot = `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT pg_get_functiondef(oid) AS line FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', proname, proowner::regrole, a) FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
			WHERE pronamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT concat_ws(' ', relname, relowner::regrole, relforcerowsecurity, a) FROM pg_class,
			aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a
			WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
		UNION ALL SELECT concat_ws(' ', attname, a) FROM pg_attribute, aclexplode(attacl) a WHERE attrelid = 'custom_audit_log'::regclass) AS lines`
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		name := server.seeded(t, `
			ALTER TABLE custom_audit_log OWNER TO app; ALTER FUNCTION custom_audit_trigger_function OWNER TO app;
			CREATE ROLE clerk;
			GRANT UPDATE (user_name), DELETE, SELECT ON custom_audit_log TO postgres, PUBLIC;
			GRANT INSERT ON custom_audit_log TO clerk WITH GRANT OPTION;
			ALTER TABLE custom_audit_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
			CREATE TABLE another (id int PRIMARY KEY, column_name text);
			CREATE TRIGGER replica AFTER UPDATE ON another FOR EACH ROW EXECUTE FUNCTION custom_audit_trigger_function();
			CREATE TRIGGER off AFTER INSERT ON another FOR EACH ROW EXECUTE FUNCTION custom_audit_trigger_function();
			ALTER TABLE another ENABLE REPLICA TRIGGER replica, DISABLE TRIGGER off`)
		conn := server.connect(t, name)
		before := ask(t, conn, snapshot)
		server.harden(t, name, Harden{})
		if after := ask(t, conn, snapshot); after == before {
			t.Error("harden changed nothing")
		}
		d := server.open(t, name)
		apply(t, d, func() (Script, error) { return d.Unharden(t.Context()) })
		if after := ask(t, conn, snapshot); after != before {
			t.Errorf("after harden and its undo (-before +after):\n%s", cmp.Diff(before, after))
		}
		server.harden(t, name, Harden{}) // and again
	})
}

// No old row is touched, whatever the table is like.
func TestHardenKeepsRows(t *testing.T) {
	const text = "SELECT string_agg(concat_ws('|', id, event_type, event_timestamp AT TIME ZONE 'UTC', user_name, table_name, row_data), E'\\n' ORDER BY id) FROM custom_audit_log"
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		for _, test := range []struct {
			name, more string
			o          Harden
			want       string // of columns
			rewritten  bool
		}{
			{"seed", "", Harden{}, "integer timestamp with time zone text", false},
			{"rewrite", "", Harden{Rewrite: true}, "bigint timestamp with time zone text", true},
			{"UTC", "", Harden{TimeZone: "utc"}, "integer timestamp with time zone text", false},
			{"extra columns", "ALTER TABLE custom_audit_log ADD tenant int NOT NULL DEFAULT 7, ADD actor text, ADD g int GENERATED ALWAYS AS (id + 1) STORED",
				Harden{}, "integer timestamp with time zone text", false},
			{"other key", "ALTER TABLE custom_audit_log DROP CONSTRAINT custom_audit_log_pkey; ALTER TABLE custom_audit_log ALTER id DROP DEFAULT, ALTER id TYPE uuid USING gen_random_uuid(), ALTER id SET DEFAULT gen_random_uuid()",
				Harden{Rewrite: true}, "uuid timestamp with time zone text", false},
		} {
			t.Run(test.name, func(t *testing.T) {
				name := server.seeded(t, "INSERT INTO your_table (column_name) SELECT 'row ' || i FROM generate_series(1, 100) i; "+test.more)
				conn := server.connect(t, name)
				before := ask(t, conn, strings.Replace(text, " AT TIME ZONE 'UTC'", "", 1))
				file := ask(t, conn, "SELECT pg_relation_filenode('custom_audit_log')")
				said := server.harden(t, name, test.o)
				if after := ask(t, conn, text); after != before {
					t.Errorf("before\n%.200s\nafter\n%.200s", before, after)
				}
				types := ask(t, conn, "SELECT string_agg(format_type(atttypid, NULL), ' ' ORDER BY array_position('{id,event_timestamp,user_name}', attname::text)) FROM pg_attribute WHERE attrelid = 'custom_audit_log'::regclass AND attname IN ('id', 'event_timestamp', 'user_name')")
				if types != test.want {
					t.Errorf("the types are %s, want %s", types, test.want)
				}
				if rewritten := ask(t, conn, "SELECT pg_relation_filenode('custom_audit_log')") != file; rewritten != test.rewritten {
					t.Errorf("rewritten: %v, want %v", rewritten, test.rewritten)
				}
				if told := strings.Contains(said, "is rewritten with its indexes"); told != test.rewritten {
					t.Errorf("a rewrite was told: %v, want %v; it said:\n%s", told, test.rewritten, said)
				}
				exec(t, conn, "INSERT INTO your_table (column_name) VALUES ('after')")
				if got := ask(t, conn, "SELECT count(*) FROM custom_audit_log WHERE row_data -> 'new' ->> 'column_name' = 'after'"); got != "1" {
					t.Errorf("%s rows after it", got)
				}
			})
		}
		t.Run("zone", func(t *testing.T) {
			name := server.seeded(t, "INSERT INTO custom_audit_log (event_timestamp) VALUES ('2026-07-01 12:00')")
			server.harden(t, name, Harden{Rewrite: true, TimeZone: "europe/berlin"})
			if got := ask(t, server.connect(t, name), "SELECT event_timestamp AT TIME ZONE 'UTC' FROM custom_audit_log"); got != "2026-07-01 10:00:00" {
				t.Errorf("12:00 in Berlin became %s UTC", got)
			}
		})
	})
}

// What cannot be mended is told before anything is changed.
func TestHardenRefuses(t *testing.T) {
	server := startServer(t, 18)
	for _, test := range []struct {
		name, more string
		o          Harden
		want       string
	}{
		{"no table", "DROP TABLE custom_audit_log", Harden{}, "there is no table public.custom_audit_log"},
		{"a view", "ALTER TABLE custom_audit_log RENAME TO t; CREATE VIEW custom_audit_log AS SELECT 1", Harden{}, "is not a table"},
		{"unlogged", "ALTER TABLE custom_audit_log SET UNLOGGED", Harden{}, "SET LOGGED"},
		{"inherited", "CREATE TABLE child () INHERITS (custom_audit_log)", Harden{}, "NO INHERIT"},
		{"missing column", "ALTER TABLE custom_audit_log DROP user_name", Harden{}, "no column user_name"},
		{"foreign type", "ALTER TABLE custom_audit_log ALTER event_type TYPE int USING 1", Harden{}, "event_type of public.custom_audit_log has the type integer"},
		{"own column", "ALTER TABLE custom_audit_log ADD actor int", Harden{}, "column actor of its own, of the type integer"},
		{"own generated column", "ALTER TABLE custom_audit_log ADD request_id text GENERATED ALWAYS AS ('x') STORED", Harden{}, "column request_id of its own"},
		{"mandatory column", "ALTER TABLE custom_audit_log ADD tenant int NOT NULL", Harden{}, "tenant of public.custom_audit_log is NOT NULL"},
		{"mandatory id", "ALTER TABLE custom_audit_log ALTER id DROP DEFAULT", Harden{}, "id of public.custom_audit_log is NOT NULL"},
		{"view on it", "CREATE VIEW report AS SELECT user_name FROM custom_audit_log", Harden{}, "under public.report: drop the views"},
		{"before trigger", "CREATE TRIGGER early BEFORE INSERT ON your_table FOR EACH ROW EXECUTE FUNCTION custom_audit_trigger_function()", Harden{}, "early on public.your_table"},
		{"another writer", "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO custom_audit_log DEFAULT VALUES; RETURN NULL; END'", Harden{}, "mine() would fail"},
		{"unknown zone", "", Harden{TimeZone: "Mars", Rewrite: true}, `no zone "Mars"`},
		{"zone without rewrite", "", Harden{TimeZone: "Asia/Tokyo"}, "give --rewrite"},
		{"database's zone", "ALTER DATABASE $db SET timezone = 'Asia/Tokyo'", Harden{}, "has Asia/Tokyo"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := server.seeded(t, "")
			exec(t, server.connect(t, name), strings.ReplaceAll(test.more, "$db", name))
			_, err := server.open(t, name).Harden(t.Context(), test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			exec(t, server.connect(t, name), "ALTER DATABASE "+name+" RESET ALL")
		})
	}
	t.Run("function named", func(t *testing.T) {
		name := server.seeded(t, `CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO custom_audit_log DEFAULT VALUES; RETURN NULL; END';
			CREATE TABLE other (id int PRIMARY KEY); CREATE TRIGGER m AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION mine()`)
		server.harden(t, name, Harden{Functions: []string{"public.mine", "custom_audit_trigger_function"}})
		conn := server.connect(t, name)
		exec(t, conn, "INSERT INTO other VALUES (5)")
		if got := ask(t, conn, "SELECT row_data -> 'new' ->> 'id' FROM custom_audit_log WHERE table_name = 'other'"); got != "5" {
			t.Errorf("the row says %q", got)
		}
	})
}

// A writer that waits for the audit table is never the one who has to die.
func TestHardenGivesWayToWriters(t *testing.T) {
	server := startServer(t, 17)
	name := server.seeded(t, "CREATE TABLE second (id int PRIMARY KEY, column_name text); CREATE TRIGGER a AFTER INSERT ON second FOR EACH ROW EXECUTE FUNCTION custom_audit_trigger_function()")
	exec(t, server.connect(t, name), "ALTER DATABASE "+name+" SET deadlock_timeout = '200ms'")
	writer := server.connect(t, name)
	exec(t, writer, "BEGIN; INSERT INTO your_table (column_name) VALUES ('locked by name, after second')")
	d := server.open(t, name)
	script, err := d.Harden(t.Context(), Harden{})
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- d.Apply(t.Context(), new(strings.Builder), script) }()
	observer := server.connect(t, name)
	// Harden holds second. Had it waited for longer than deadlock_timeout, it would be the writer who looks for a deadlock next.
	for waiting := "0"; waiting == "0" && len(failed) == 0; {
		waiting = ask(t, observer, "SELECT count(*) FROM pg_locks WHERE NOT granted AND waitstart < clock_timestamp() - interval '300 ms'")
	}
	exec(t, writer, "INSERT INTO second VALUES (1); COMMIT")
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "run it again") {
		t.Errorf("error %v, want one that says to run it again", err)
	}
	if got := ask(t, observer, "SELECT count(*) FROM custom_audit_log"); got != "2" {
		t.Errorf("%s rows, want 2", got)
	}
	server.harden(t, name, Harden{})
}
