package audit

import (
	"slices"
	"strings"
	"testing"

	"pgwitness/internal/config"
	"pgwitness/scripts"
)

// testCoverage does to attached tables what makes them miss changes, and checks that coverage tells each.
func testCoverage(t *testing.T, s *testServer) {
	cases := []struct {
		name  string
		do    string // to the tables t, p with the partitions p1 and p2, or s in statement mode, all attached
		table string
		state State
		note  string // part of one
	}{
		{"nothing", "", "public.t", Audited, ""},
		{"nothing, in statement mode", "", "public.s", Audited, ""},
		{"nothing, with partitions", "", "public.p", Audited, ""},
		{"trigger dropped", "DROP TRIGGER pgwitness_row ON t", "public.t", Broken, "no trigger audits INSERT"},
		{"one of several triggers dropped", "DROP TRIGGER pgwitness_update ON s", "public.s", Broken, "no trigger audits UPDATE"},
		{"TRUNCATE's trigger dropped", "DROP TRIGGER pgwitness_truncate ON t", "public.t", Broken, "no trigger audits TRUNCATE"},
		{"trigger disabled", "ALTER TABLE t DISABLE TRIGGER pgwitness_row", "public.t", Broken, "its trigger pgwitness_row is disabled"},
		{"all triggers disabled", "ALTER TABLE t DISABLE TRIGGER ALL", "public.t", Broken, "its trigger pgwitness_truncate is disabled"},
		{"trigger not always", "ALTER TABLE t ENABLE TRIGGER pgwitness_row", "public.t", Broken, "not ENABLE ALWAYS"},
		{"trigger for replicas", "ALTER TABLE t ENABLE REPLICA TRIGGER pgwitness_row", "public.t", Broken, "for replication only"},
		{
			"trigger narrowed",
			`CREATE OR REPLACE TRIGGER pgwitness_row AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW WHEN (pg_trigger_depth() = 0)
				EXECUTE FUNCTION pgwitness.capture('id'); ALTER TABLE t ENABLE ALWAYS TRIGGER pgwitness_row`, "public.t", Broken, "has a condition",
		},
		{
			"other options",
			`CREATE OR REPLACE TRIGGER pgwitness_row AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW
				EXECUTE FUNCTION pgwitness.capture('{id}', '{"exclude":["s"]}'); ALTER TABLE t ENABLE ALWAYS TRIGGER pgwitness_row`, "public.t", Broken, "other options than were registered",
		},
		{
			"other key",
			`CREATE OR REPLACE TRIGGER pgwitness_row AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW
				EXECUTE FUNCTION pgwitness.capture('s'); ALTER TABLE t ENABLE ALWAYS TRIGGER pgwitness_row`, "public.t", Broken, "another key than was registered",
		},
		{"primary key changed", "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (s)", "public.t", Broken, "its primary key was id and is s now"},
		{"hidden column renamed", "ALTER TABLE s RENAME secret TO x", "public.s", Broken, "its column secret, which must not be seen"},
		{"table renamed", "ALTER TABLE t RENAME TO u", "public.u", Audited, ""},
		{"table dropped", "DROP TABLE t", "public.t", Broken, "it was dropped"},
		{"column added that settings change", "ALTER TABLE t ADD f float8", "public.t", Broken, "whose text depends on the session's settings"},
		{"column added that may not render", "ALTER TABLE t ADD j json", "public.t", Broken, "should have other arguments"},
		{"column added", "ALTER TABLE t ADD x int", "public.t", Audited, "it got x"},
		{"partition added", "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30)", "public.p", Broken, "partition public.p3: no trigger audits TRUNCATE"},
		{"partition's trigger disabled", "ALTER TABLE p1 DISABLE TRIGGER pgwitness_row", "public.p", Broken, "partition public.p1: its trigger pgwitness_row is disabled"},
		{"partition detached", "ALTER TABLE p DETACH PARTITION p1", "public.p1", Broken, "no trigger audits INSERT"},
		{"inherited from", "CREATE TABLE child () INHERITS (s)", "public.s", Broken, "attach it with --mode row"},
		{"function altered", "ALTER FUNCTION pgwitness.capture() RESET ALL", "public.t", Broken, "pgwitness.capture was altered"},
		{
			"function replaced",
			"CREATE OR REPLACE FUNCTION pgwitness.capture_statement() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "public.s", Broken, "pgwitness.capture_statement was altered",
		},
		{"function of somebody else", "ALTER FUNCTION pgwitness.capture() OWNER TO CURRENT_USER", "public.t", Broken, "does not belong to pgwitness_audit"},
		{"registry row removed", "DELETE FROM pgwitness.attachment", "public.t", Audited, "was not attached"},
		{"the seed's trigger", "", "public.your_table", Seed, ""},
		{"the seed's trigger disabled", "ALTER TABLE your_table DISABLE TRIGGER ALL", "public.your_table", Seed, "is disabled"},
		{"another trigger", "", "public.other", Other, "its trigger mine"},
		{"no trigger", "", "public.plain", Unaudited, ""},
	}
	_, seed, _ := strings.Cut(scripts.Seed, ");")
	name := s.installed(t)
	conn := s.connect(t, name)
	exec(t, conn, `CREATE TABLE t (id int PRIMARY KEY, s text); CREATE TABLE s (id int PRIMARY KEY, secret text);
			CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
			CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20); CREATE TABLE your_table (id int, column_name text); CREATE TABLE plain ();`+seed+`
			CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO custom_audit_log DEFAULT VALUES; RETURN NEW; END';
			CREATE TABLE other (); CREATE TRIGGER mine AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION mine()`)
	d := s.open(t, name)
	apply(t, d, func() (Script, error) {
		return d.Attach(t.Context(), Attach{Tables: []config.Table{table(t, "public.t"), table(t, "public.p")}})
	})
	apply(t, d, func() (Script, error) {
		return d.Attach(t.Context(), Attach{Tables: []config.Table{table(t, "public.s")}, Mode: "statement", Exclude: []string{"secret"}})
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := d.conn.Script(t.Context(), "BEGIN; SET LOCAL search_path = public; "+c.do); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if _, err := d.conn.Script(t.Context(), "ROLLBACK"); err != nil {
					t.Error(err)
				}
			}()
			found, err := d.Coverage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(found.Tables, func(table TableCoverage) bool { return table.Table == c.table })
			if i < 0 {
				t.Fatalf("%s is not in %+v", c.table, found.Tables)
			}
			if got := found.Tables[i]; got.State != c.state || !strings.Contains(strings.Join(got.Notes, "\n"), c.note) || c.note == "" && len(got.Notes) > 0 {
				t.Errorf("%+v, want the state %s and a note with %q", got, c.state, c.note)
			}
			if altered := strings.HasPrefix(c.name, "function"); altered != (len(found.Functions) > 0) {
				t.Errorf("functions: %q", found.Functions)
			}
			if broken := c.state == Broken; broken != (len(found.Incomplete()) > 0) {
				t.Errorf("incomplete are %+v", found.Incomplete())
			}
			if len(found.Unknown) > 0 {
				t.Errorf("unknown: %q", found.Unknown)
			}
		})
	}
	t.Run("without a right", func(t *testing.T) {
		reader, err := Open(t.Context(), Config{ConnConfig: s.configAs(t, name, "reader", "")})
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		found, err := reader.Coverage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Unknown) != 1 || !strings.Contains(found.Unknown[0], "GRANT USAGE ON SCHEMA pgwitness TO reader") {
			t.Errorf("unknown: %q", found.Unknown)
		}
		if i := slices.IndexFunc(found.Tables, func(table TableCoverage) bool { return table.Table == "public.p" }); i < 0 || found.Tables[i].State != Audited {
			t.Errorf("public.p is not seen as audited: %+v", found.Tables)
		}
		exec(t, conn, "GRANT USAGE ON SCHEMA pgwitness TO reader; GRANT SELECT ON pgwitness.attachment TO reader")
		if found, err = reader.Coverage(t.Context()); err != nil || len(found.Unknown) > 0 {
			t.Errorf("with the right: unknown %q, error %v", found.Unknown, err)
		}
	})
	t.Run("not installed", func(t *testing.T) {
		d := s.open(t, s.database(t))
		if found, err := d.Coverage(t.Context()); err != nil || found.Installed || len(found.Functions) > 0 {
			t.Errorf("%+v, error %v", found, err)
		}
	})
}
