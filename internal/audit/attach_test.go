package audit

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgwitness/internal/config"
	"pgwitness/internal/replication"
	"pgwitness/scripts"
)

func table(t *testing.T, name string) config.Table {
	t.Helper()
	var table config.Table
	if err := table.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	return table
}

// TestAttach runs what is about attached tables on one server a version.
func TestAttach(t *testing.T) {
	t.Parallel()
	eachVersion(t, oldestAndNewest, func(t *testing.T, s *testServer) {
		t.Run("refusals", func(t *testing.T) { testAttachRefuses(t, s) })
		t.Run("other functions", func(t *testing.T) { testAttachFunctions(t, s) })
		t.Run("short way", func(t *testing.T) { testShortWay(t, s) })
		t.Run("again", func(t *testing.T) { testReattach(t, s) })
		t.Run("partitions", func(t *testing.T) { testAttachPartitions(t, s) })
		t.Run("redaction", func(t *testing.T) { testRedaction(t, s) })
		t.Run("options", func(t *testing.T) { testOptions(t, s) })
		t.Run("subscription", func(t *testing.T) { testSubscription(t, s) })
		t.Run("coverage", func(t *testing.T) { testCoverage(t, s) })
	})
}

// testAttachRefuses checks that what cannot be attached is refused with a reason.
func testAttachRefuses(t *testing.T, s *testServer) {
	cases := []struct {
		table  string
		attach Attach
		want   string
	}{
		{"public.custom_audit_log", Attach{}, "it holds the audit rows themselves"},
		{"pgwitness.custom_audit_log_default", Attach{}, "it holds the audit rows themselves"},
		{"pgwitness.attachment", Attach{}, "it holds the audit rows themselves"},
		{"pg_catalog.pg_class", Attach{}, "pg_catalog.pg_class is the server's own"},
		{"public.ordres", Attach{}, "there is no table public.ordres: did you mean public.orders?"},
		{"public.v", Attach{}, "it is a view"},
		{"public.m", Attach{}, "it is a view"},
		{"public.f", Attach{}, "it is a foreign table"},
		{"public.orders", Attach{Exclude: []string{"Total"}}, `it has no column "Total": did you mean total?`},
		{"public.orders", Attach{Exclude: []string{"id"}}, "id is of its primary key"},
		{"public.orders", Attach{Exclude: []string{"total"}, Mask: []string{"total"}}, "total cannot be both excluded and masked"},
		{"public.p", Attach{Mode: "statement"}, "partitions: use --mode row"},
		{"public.p1", Attach{}, "it is a partition of public.p, which is attached"},
		{"public.child", Attach{Mode: "statement"}, "tables that inherit: use --mode row"},
		{"public.parent", Attach{Mode: "statement"}, "tables that inherit: use --mode row"},
		{"public.renamed", Attach{}, "its column secret, which must not be seen, was dropped or renamed: say with --exclude"},
	}
	name := s.installed(t)
	d, conn := s.open(t, name), s.connect(t, name)
	exec(t, conn, `CREATE TABLE orders (id int PRIMARY KEY, total int); CREATE VIEW v AS SELECT * FROM orders; CREATE MATERIALIZED VIEW m AS SELECT * FROM orders;
			CREATE FOREIGN DATA WRAPPER w; CREATE SERVER w FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f (a int) SERVER w;
			CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT;
			CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent); CREATE TABLE renamed (id int PRIMARY KEY, secret text)`)
	apply(t, d, func() (Script, error) {
		return d.Attach(t.Context(), Attach{Tables: []config.Table{table(t, "public.p")}})
	})
	apply(t, d, func() (Script, error) {
		return d.Attach(t.Context(), Attach{Tables: []config.Table{table(t, "public.renamed")}, Exclude: []string{"secret"}})
	})
	exec(t, conn, "ALTER TABLE renamed RENAME secret TO hidden")
	for _, c := range cases {
		t.Run(c.table+" "+c.want, func(t *testing.T) {
			c.attach.Tables = []config.Table{table(t, c.table)}
			if _, err := d.Attach(t.Context(), c.attach); !errors.Is(err, replication.ErrConfig) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
	t.Run("not installed", func(t *testing.T) {
		d := s.open(t, s.database(t))
		_, err := d.Attach(t.Context(), Attach{Schemas: []string{"public"}})
		if !errors.Is(err, replication.ErrSetup) || !strings.Contains(err.Error(), "pgwitness audit install") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("all in a schema", func(t *testing.T) {
		script, err := d.Attach(t.Context(), Attach{Schemas: []string{"public"}})
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(script.Notes, "\n")
		for _, want := range []string{"public.custom_audit_log is left out", "public.f is left out", "public.renamed is left out"} {
			if !strings.Contains(notes, want) {
				t.Errorf("the notes do not say %q:\n%s", want, notes)
			}
		}
	})
}

// testAttachFunctions checks that triggers are not given to functions that may not know their arguments.
func testAttachFunctions(t *testing.T, s *testServer) {
	name := s.installed(t)
	d, conn := s.open(t, name), s.connect(t, name)
	exec(t, conn, `CREATE TABLE t (id int PRIMARY KEY); DO $do$ BEGIN
		EXECUTE (SELECT replace(pg_get_functiondef(oid), 'TG_NARGS', 'TG_nargs') FROM pg_proc WHERE oid = 'pgwitness.capture'::regproc); END $do$`)
	_, err := d.Attach(t.Context(), Attach{Tables: []config.Table{table(t, "public.t")}})
	if !errors.Is(err, replication.ErrSetup) || !strings.Contains(err.Error(), "pgwitness.capture was altered, or is another version's") {
		t.Errorf("another version's functions: %v", err)
	}
}

// testShortWay checks which INSERTs go the short way, which nothing else tells from the long one: here, that one is a dead end.
func testShortWay(t *testing.T, s *testServer) {
	name := s.installed(t)
	d, conn := s.open(t, name), s.connect(t, name)
	exec(t, conn, `CREATE TABLE a (id int PRIMARY KEY, column_name text); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (nr int PRIMARY KEY);
		CREATE TABLE many (id int, nr int, PRIMARY KEY (id, nr)); CREATE TABLE nested (id int PRIMARY KEY);
		CREATE FUNCTION nest() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO a VALUES (NEW.id, 'y'); RETURN NULL; END$$;
		CREATE TRIGGER nest AFTER INSERT ON nested FOR EACH ROW EXECUTE FUNCTION nest()`)
	apply(t, d, func() (Script, error) { return d.Attach(t.Context(), Attach{Schemas: []string{"public"}}) })
	exec(t, conn, `CREATE OR REPLACE FUNCTION pgwitness.row_data(op text, key text[], old jsonb, new jsonb, changed jsonb, options jsonb) RETURNS jsonb
		LANGUAGE plpgsql STABLE AS $$BEGIN RAISE 'a dead end'; END$$`)
	const long = "P0001"
	for _, c := range []struct{ sql, want string }{
		{"INSERT INTO a VALUES (1, 'x')", ""},
		{"INSERT INTO b VALUES (1), (2)", ""},
		{"INSERT INTO c VALUES (1)", ""},
		{"INSERT INTO nested VALUES (2)", ""},
		{"INSERT INTO a VALUES (3)", long},
		{"INSERT INTO many VALUES (1, 1)", long},
		{"UPDATE a SET column_name = 'y'", long},
		{"INSERT INTO a SELECT 3, string_agg(md5(i::text), '') FROM generate_series(1, 200) AS i", long},
		{"ALTER TABLE a ALTER id TYPE bigint; ALTER TABLE b RENAME id TO nr; ALTER TABLE c RENAME nr TO other", ""},
		{"INSERT INTO a VALUES (4, 'z')", long}, // no NEW.id in this session any more
		{"INSERT INTO b VALUES (4)", long},
		{"INSERT INTO c VALUES (4)", long}, // whose key is looked up
	} {
		if got := try(t, conn, c.sql); got != c.want {
			t.Errorf("%s: SQLSTATE %q, want %q", c.sql, got, c.want)
		}
	}
	if got := try(t, s.connect(t, name), "INSERT INTO a VALUES (5, 'z')"); got != "" {
		t.Errorf("a session that came after the column's type was changed: SQLSTATE %q", got)
	}
}

// testReattach checks that an attachment changes with its options and keeps those that nobody speaks of, that the seed's
// trigger is replaced, and that detach takes everything away again.
func testReattach(t *testing.T, s *testServer) {
	name := s.installed(t)
	d, conn := s.open(t, name), s.connect(t, name)
	_, function, _ := strings.Cut(scripts.Seed, ");") // the seed without its table
	exec(t, conn, "CREATE TABLE your_table (id int PRIMARY KEY, column_name text, j json); "+function)
	attach := func(a Attach) string {
		t.Helper()
		a.Tables = []config.Table{table(t, "public.your_table")}
		return apply(t, d, func() (Script, error) { return d.Attach(t.Context(), a) })
	}
	triggers := func() string {
		return ask(t, conn, `SELECT string_agg(tgname || ' ' || tgenabled::text || ' ' || replace(encode(tgargs, 'escape'), '\000', ' '), E'\n' ORDER BY tgname)
				FROM pg_trigger WHERE tgrelid = 'public.your_table'::regclass`)
	}
	expect := func(want string) {
		t.Helper()
		if diff := cmp.Diff(lines(want), lines(triggers())); diff != "" {
			t.Errorf("triggers (-want +got):\n%s", diff)
		}
	}
	if said := attach(Attach{}); !strings.Contains(said, "nothing is written twice") {
		t.Errorf("it is not told that the seed's trigger is replaced:\n%s", said)
	}
	expect(`pgwitness_row A {id} {}
			pgwitness_truncate A`)
	exec(t, conn, "ALTER TABLE your_table ALTER j TYPE jsonb")
	attach(Attach{})
	expect(`pgwitness_row A id {} id column_name
			pgwitness_truncate A`)
	attach(Attach{Exclude: []string{"column_name"}, Fail: "open"})
	attach(Attach{Mode: "statement", Images: "changed"})
	expect(`pgwitness_delete A {id} {"exclude":["column_name"],"images":"changed","fail":"open"}
			pgwitness_insert A {id} {"exclude":["column_name"],"images":"changed","fail":"open"}
			pgwitness_truncate A
			pgwitness_update A {id} {"exclude":["column_name"],"images":"changed","fail":"open"}`)
	attach(Attach{Mode: "row", Exclude: []string{}, Images: "both", Fail: "closed"})
	exec(t, conn, `ALTER TABLE your_table DISABLE TRIGGER pgwitness_row; ALTER TABLE your_table ENABLE TRIGGER pgwitness_truncate`)
	attach(Attach{})
	expect(`pgwitness_row A id {} id column_name
			pgwitness_truncate A`)
	exec(t, conn, "INSERT INTO your_table VALUES (1)")
	if got := ask(t, conn, "SELECT count(*) FROM custom_audit_log"); got != "1" {
		t.Errorf("an INSERT made %s audit rows", got)
	}
	apply := func(want string) {
		t.Helper()
		script, err := d.Detach(t.Context(), []config.Table{table(t, "public.your_table")})
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		if err := d.Apply(t.Context(), &said, script); err != nil || !strings.Contains(said.String(), want) {
			t.Errorf("detach said %q (error %v), want %q", said.String(), err, want)
		}
	}
	apply("Take the triggers off public.your_table")
	expect("")
	if got := ask(t, conn, "SELECT count(*) FROM pgwitness.attachment"); got != "0" {
		t.Errorf("%s tables are attached still", got)
	}
	apply("public.your_table is not attached.")
}

// testAttachPartitions checks that a partitioned table is attached with all its partitions, whatever was on them.
func testAttachPartitions(t *testing.T, s *testServer) {
	name := s.installed(t)
	d, conn := s.open(t, name), s.connect(t, name)
	exec(t, conn, `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
			CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id); CREATE TABLE p20 PARTITION OF p2 DEFAULT`)
	attach := func(tables ...string) {
		t.Helper()
		a := Attach{}
		for _, name := range tables {
			a.Tables = append(a.Tables, table(t, name))
		}
		apply(t, d, func() (Script, error) { return d.Attach(t.Context(), a) })
	}
	attach("public.p1", "public.p2")
	attach("public.p")
	if got := ask(t, conn, "SELECT string_agg(relation::text, ' ') FROM pgwitness.attachment"); got != "p" {
		t.Errorf("attached: %s, want p alone", got)
	}
	exec(t, conn, "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30); ALTER TABLE p20 DISABLE TRIGGER pgwitness_row")
	attach("public.p")
	if got := ask(t, conn, `SELECT string_agg(tgrelid::regclass::text || tgenabled::text, ' ' ORDER BY tgrelid::regclass::text, tgname)
			FROM pg_trigger WHERE tgname LIKE 'pgwitness%' AND tgrelid::regclass::text ~ '^p[0-9]*$'`); got != "pA pA p1A p1A p2A p2A p20A p20A p3A p3A" {
		t.Errorf("triggers: %s", got)
	}
	script, err := d.Detach(t.Context(), []config.Table{table(t, "public.p")})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), &strings.Builder{}, script); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, conn, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgwitness%' AND tgrelid::regclass::text ~ '^p[0-9]*$'"); got != "0" {
		t.Errorf("%s triggers are left", got)
	}
}

// TestLiterals checks that names survive array literals, and both survive SQL.
func TestLiterals(t *testing.T) {
	for _, c := range []struct{ name, array, literal string }{
		{"id", "{id}", "'{id}'"},
		{"null", `{"null"}`, `'{"null"}'`},
		{`a"b`, `{"a\"b"}`, `E'{"a\\"b"}'`},
		{`it's`, `{"it's"}`, `'{"it''s"}'`},
		{`\`, `{"\\"}`, `E'{"\\\\"}'`},
	} {
		if got := arrayLiteral([]string{c.name}); got != c.array {
			t.Errorf("arrayLiteral(%q) = %s, want %s", c.name, got, c.array)
		}
		if got := quoteLiteral(c.array); got != c.literal {
			t.Errorf("quoteLiteral(%s) = %s, want %s", c.array, got, c.literal)
		}
	}
}
