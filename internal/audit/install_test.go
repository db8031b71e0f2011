package audit

import (
	"strings"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/scripts"
)

// The main path: a fresh table, and the one of an adopted seed, whose trigger goes on.
func TestInstall(t *testing.T) {
	eachVersion(t, embeddedpg.Versions(), func(t *testing.T, server *testServer) {
		t.Run("fresh", func(t *testing.T) {
			name := server.database(t)
			server.install(t, name)
			conn := server.connect(t, name)
			for _, sql := range []string{"UPDATE custom_audit_log SET actor = 'x'", "DELETE FROM custom_audit_log", "TRUNCATE custom_audit_log", "TRUNCATE pgwitness.custom_audit_log_default"} {
				if code := try(t, conn, sql); code != "42501" {
					t.Errorf("%s: %q, want 42501", sql, code)
				}
			}
			db := server.open(t, name)
			apply(t, db, func() (Script, error) { return db.Uninstall(t.Context()) })
			if got := ask(t, conn, "SELECT to_regclass('custom_audit_log')"); got != "" {
				t.Errorf("the empty table %s is still there", got)
			}
			server.install(t, name)
			exec(t, conn, "INSERT INTO custom_audit_log (event_type) VALUES ('INSERT')")
			if script, err := db.Uninstall(t.Context()); err != nil || len(script.Steps) > 0 {
				t.Errorf("a table with rows is not left alone: %v, error %v", script.Steps, err)
			}
		})
		t.Run("beside the seed", func(t *testing.T) {
			name := server.seeded(t, "CREATE PUBLICATION one FOR TABLE custom_audit_log; CREATE PUBLICATION every FOR ALL TABLES; INSERT INTO your_table (column_name) VALUES ('old')")
			conn, app := server.connect(t, name), server.connectAs(t, name, "app", "")
			server.install(t, name)
			exec(t, app, "INSERT INTO your_table (column_name) VALUES ('new'); SELECT FROM custom_audit_log")
			const look = "SELECT string_agg(concat_ws(' ', tableoid::regclass, id, coalesce(row_data #>> '{new,column_name}', row_data ->> 'column_name')), ', ' ORDER BY id) FROM "
			month := ask(t, conn, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')")
			if got, want := ask(t, conn, look+"custom_audit_log"), "pgwitness.custom_audit_log_"+month+" 2 new"; got != want {
				t.Errorf("the new table has %q, want %q", got, want)
			}
			if got, want := ask(t, conn, look+"custom_audit_log_old"), "custom_audit_log_old 1 old"; got != want {
				t.Errorf("the old table has %q, want %q", got, want)
			}
			for _, sql := range []string{"DELETE FROM custom_audit_log_old", "INSERT INTO custom_audit_log_old (event_type) VALUES ('x')"} {
				if code := try(t, app, sql); code != "42501" {
					t.Errorf("%s: %q, want 42501", sql, code)
				}
			}
			if got := ask(t, conn, "SELECT string_agg(concat_ws(' ', pubname, tablename), ', ' ORDER BY pubname, tablename) FROM pg_publication_tables WHERE schemaname = 'public' AND tablename LIKE 'custom%'"); got !=
				"every custom_audit_log, every custom_audit_log_old, one custom_audit_log, one custom_audit_log_old" {
				t.Errorf("published are %s", got)
			}
			db := server.open(t, name)
			apply(t, db, func() (Script, error) { return db.Uninstall(t.Context()) })
			exec(t, app, "INSERT INTO your_table (column_name) VALUES ('again')")
			if got, want := ask(t, conn, look+"custom_audit_log"), "custom_audit_log 1 old, custom_audit_log 3 again"; got != want {
				t.Errorf("after the undo the table has %q, want %q", got, want)
			}
			if got := ask(t, conn, "SELECT count(*) FROM pg_class WHERE relname LIKE 'custom_audit_log_until_%' AND relkind = 'p'"); got != "1" {
				t.Errorf("%s tables were put aside, want 1", got)
			}
			server.install(t, name) // and again
		})
	})
}

// What somebody altered is put right.
func TestInstallMends(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		name := server.database(t)
		server.install(t, name)
		for _, sql := range []string{
			"CREATE OR REPLACE FUNCTION pgwitness.capture() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
			"ALTER FUNCTION pgwitness.capture() RESET ALL",
			"ALTER FUNCTION pgwitness.capture() SECURITY INVOKER",
			"ALTER FUNCTION pgwitness.capture() OWNER TO postgres",
			"GRANT EXECUTE ON FUNCTION pgwitness.capture() TO PUBLIC",
			"DROP FUNCTION pgwitness.capture_statement()",
			"ALTER TABLE custom_audit_log DISABLE TRIGGER pgwitness_refuse",
			"DROP TRIGGER pgwitness_refuse ON pgwitness.custom_audit_log_default",
			"GRANT DELETE ON custom_audit_log TO PUBLIC",
			"ALTER TABLE custom_audit_log OWNER TO postgres",
			"DROP TABLE pgwitness.custom_audit_log_" + ask(t, server.connect(t, name), "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')"),
		} {
			exec(t, server.connect(t, name), sql)
			d := server.open(t, name)
			if script, err := d.Install(t.Context(), nil); err != nil || len(script.Steps) == 0 {
				t.Errorf("%s: nothing to do, error %v", sql, err)
				continue
			}
			server.install(t, name)
		}
	})
}

func TestInstallRefuses(t *testing.T) {
	server := startServer(t, 18)
	for _, test := range []struct{ name, more, want string }{
		{"view", "CREATE VIEW report AS SELECT user_name FROM custom_audit_log", "public.report"},
		{"materialized view", "CREATE MATERIALIZED VIEW monthly AS SELECT user_name FROM custom_audit_log", "public.monthly"},
		{"foreign key", "CREATE TABLE note (audit int CONSTRAINT about REFERENCES custom_audit_log)", "about of public.note"},
		{"trigger", "CREATE TRIGGER notify AFTER INSERT ON custom_audit_log EXECUTE FUNCTION suppress_redundant_updates_trigger()", "trigger notify"},
		{"rule", "CREATE RULE divert AS ON INSERT TO custom_audit_log DO INSTEAD NOTHING", "rule divert"},
		{"another writer", "CREATE FUNCTION mine() RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.custom_audit_log DEFAULT VALUES; END'", "mine() would fail"},
		{"old one there", "CREATE TABLE custom_audit_log_old ()", "custom_audit_log_old is there already"},
		{"partitioned by hand", "DROP TABLE custom_audit_log; CREATE TABLE custom_audit_log (id int) PARTITION BY HASH (id)", "audit harden"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := server.seeded(t, test.more)
			_, err := server.open(t, name).Install(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// Any name that the scripts can bear will do, and they are as they are for the default one.
func TestAnotherTable(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		for _, table := range []string{"log", `Audit "Log"; -- é`, strings.Repeat("é", 31)} {
			name := server.database(t)
			conn := server.connect(t, name)
			exec(t, conn, `CREATE SCHEMA "Sch.ema"; REVOKE ALL ON SCHEMA "Sch.ema" FROM PUBLIC; CREATE TABLE t (id int PRIMARY KEY)`)
			d, err := Open(t.Context(), Config{ConnConfig: server.configAs(t, name, "", ""), Schema: "Sch.ema", Table: table})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			apply(t, d, func() (Script, error) { return d.Install(t.Context(), nil) })
			exec(t, conn, "CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION pgwitness.capture('id'); INSERT INTO t VALUES (1)")
			if got := ask(t, conn, "SELECT count(*) FROM "+d.table); got != "1" {
				t.Errorf("%s has %s rows", d.table, got)
			}
			other := server.open(t, name)
			if _, err := other.Install(t.Context(), nil); err == nil || !strings.Contains(err.Error(), d.table) {
				t.Errorf("a second audit table: error %v", err)
			}
		}
	})
	for _, table := range []string{"it's", `back\slash`, "100%", "$1", "a\nb"} {
		d := &Database{cfg: Config{Schema: "public", Table: table}}
		if _, err := d.render(scripts.Capture); err == nil {
			t.Errorf("%q is not refused", table)
		}
	}
}

// Each step says what it is for, and has the whole of its functions.
func TestSteps(t *testing.T) {
	d := &Database{cfg: Config{Schema: "public", Table: "custom_audit_log"}, table: "public.custom_audit_log"}
	for name, script := range map[string]string{
		"capture": scripts.Capture, "mend": scripts.Mend, "harden": scripts.Harden, "unharden": scripts.Unharden,
		"install": scripts.Install, "uninstall": scripts.Uninstall,
	} {
		rendered, err := d.render(script)
		if err != nil || rendered != script {
			t.Errorf("%s: rendering changes it for the default table, or fails: %v", name, err)
		}
		steps, err := d.steps(script)
		if err != nil {
			t.Fatal(err)
		}
		var whole strings.Builder
		for _, step := range steps {
			whole.WriteString(stripComments(step.SQL))
			if step.Why == "" || strings.Count(step.SQL, "$pgwitness$")%2 != 0 || strings.Count(step.SQL, "$do$")%2 != 0 {
				t.Errorf("%s: a step is cut in the wrong place, or without a reason:\n%s", name, step.SQL)
			}
		}
		if whole.String() != stripComments(script) {
			t.Errorf("%s: its steps are not the whole of it", name)
		}
	}
}
