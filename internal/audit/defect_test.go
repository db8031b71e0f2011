package audit

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgwitness/internal/config"
)

// defect is one of the seed, as a user meets it. That DDL is unseen is TestEvents's.
type defect struct {
	name string
	// prepare is run by a superuser. Before says that it must come before mending.
	prepare string
	before  bool
	// act is what somebody does: the role app, or a superuser.
	act   string
	super bool
	// look is the query for what can be seen of it then, after the SQLSTATE of act.
	look   string
	newest bool // it takes seconds, and is the same in every version
	// seed is what is seen with the seed as it stands, mended what is seen after harden, install and attach.
	seed, mended string
}

const count = "SELECT count(*) FROM public.custom_audit_log"

var defects = []defect{
	{
		name: "DELETE writes nulls",
		act:  "DELETE FROM your_table",
		look: "SELECT concat_ws(' ', event_type, coalesce(row_data ->> 'id', '?'), coalesce(row_data ->> 'column_name', '?'), row_data #>> '{old,column_name}') FROM custom_audit_log",
		seed: "DELETE ? ?", mended: "DELETE 1 x x",
	},
	{
		name: "no old image",
		act:  "UPDATE your_table SET column_name = 'y'",
		look: "SELECT concat_ws(' ', row_data ->> 'column_name', row_data #>> '{old,column_name}', row_data #>> '{new,column_name}', row_data ->> 'changed') FROM custom_audit_log",
		seed: "y", mended: `y x y ["column_name"]`,
	},
	{
		name: "no-op UPDATE is logged",
		act:  "UPDATE your_table SET column_name = column_name",
		look: count, seed: "1", mended: "0",
	},
	{
		name: "another table fails", prepare: "CREATE TABLE plain (code text PRIMARY KEY); " + seedTrigger("plain"),
		act:  "INSERT INTO plain VALUES ('a')",
		look: "SELECT string_agg(row_data #>> '{new,code}', ' ') FROM custom_audit_log",
		seed: "42703 ", mended: "a",
	},
	{
		name: "long name aborts the write", prepare: "CREATE TABLE " + sixty + " (id int PRIMARY KEY, column_name text); " + seedTrigger(sixty),
		act:  "INSERT INTO " + sixty + " VALUES (1)",
		look: "SELECT string_agg(table_name, ' ') FROM custom_audit_log",
		seed: "22001 ", mended: sixty,
	},
	{
		name: "SERIAL exhaustion stops all writes", prepare: "SELECT setval('custom_audit_log_id_seq', 2147483647)",
		act:  "INSERT INTO your_table VALUES (2, 'x')",
		look: "SELECT string_agg(id::text, ' ') FROM custom_audit_log",
		seed: "2200H ", mended: "2147483648", before: true,
	},
	{
		name: "zone-less time",
		act:  "SET TimeZone = 'Asia/Tokyo'; INSERT INTO your_table VALUES (2, 'x')",
		look: "SELECT abs(extract(epoch FROM event_timestamp - now())) < 600 FROM custom_audit_log",
		seed: "f", mended: "t",
	},
	{
		name: "forged row by an application role",
		act:  "INSERT INTO custom_audit_log (event_type, user_name, table_name) VALUES ('INSERT', 'boss', 'your_table')",
		look: count, seed: "1", mended: "42501 0",
	},
	{
		name: "temporary table diverts the rows",
		act:  "CREATE TEMP TABLE custom_audit_log (event_type text, event_timestamp timestamp, user_name text, table_name text, row_data jsonb); INSERT INTO your_table VALUES (2, 'x')",
		look: count, seed: "0", mended: "1",
	},
	{
		name:    "SECURITY DEFINER function hides the login",
		prepare: "CREATE FUNCTION as_owner() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO your_table VALUES (2, 'x') $$",
		act:     "SELECT as_owner()",
		look:    "SELECT concat_ws(' ', user_name, to_jsonb(l) ->> 'session_user_name') FROM custom_audit_log l",
		seed:    "postgres", mended: "app app",
	},
	{
		name: "TRUNCATE is unseen",
		act:  "TRUNCATE your_table",
		look: "SELECT string_agg(event_type || ' ' || table_name, ' ') FROM custom_audit_log",
		seed: "", mended: "TRUNCATE your_table",
	},
	{
		name: "session_replication_role is silent", super: true,
		act:  "SET session_replication_role = replica; INSERT INTO your_table VALUES (2, 'x')",
		look: count, seed: "0", mended: "1",
	},
	{
		name: "RLS on the audit table breaks writes", prepare: "ALTER TABLE custom_audit_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
		act:  "INSERT INTO your_table VALUES (2, 'x')",
		look: count, seed: "42501 0", mended: "1", before: true,
	},
	{
		name: "140 MB bytea fails the write", newest: true, prepare: "CREATE TABLE blobs (id int PRIMARY KEY, column_name bytea); GRANT ALL ON blobs TO app; " + seedTrigger("blobs"),
		act:  "INSERT INTO blobs VALUES (1, convert_to(repeat('x', 140000000), 'UTF8'))",
		look: "SELECT string_agg(row_data #>> '{new,column_name}', ' ') FROM custom_audit_log",
		seed: "54000 ", mended: `{"$omitted": {"bytes": 140000000}}`,
	},
	{
		name: "session settings change the JSON",
		prepare: `CREATE TYPE mix AS (b bytea, i interval, t timestamptz, d date, f float8, r tstzrange, m money);
			CREATE TABLE mixed (id int PRIMARY KEY, column_name mix); GRANT ALL ON mixed TO app; ` + seedTrigger("mixed"),
		act: `PREPARE put (int) AS INSERT INTO mixed VALUES ($1, ('\x01ff'::bytea, make_interval(1, 2, 0, 3, 4), make_timestamptz(2026, 7, 1, 12, 0, 0, 'UTC'),
				make_date(2026, 2, 1), 0.1::float8 + 0.2, tstzrange(make_timestamptz(2026, 7, 1, 12, 0, 0, 'UTC'), NULL), 1234.5::numeric::money));
			EXECUTE put(1);
			SET bytea_output = 'escape'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET extra_float_digits = -5;
			EXECUTE put(2)`,
		look: "SELECT count(DISTINCT coalesce(row_data #> '{new,column_name}', row_data -> 'column_name')) FROM custom_audit_log",
		seed: "2", mended: "1",
	},
	{
		name: "an audited audit table recurses", super: true,
		act:  "ALTER TABLE custom_audit_log ADD column_name text; " + seedTrigger("custom_audit_log") + "; INSERT INTO your_table VALUES (2, 'x')",
		look: count, seed: "54001 0", mended: "1",
	},
}

// sixty has 60 characters.
const sixty = "a_name_of_sixty_characters_which_postgresql_has_no_trouble_x"

func seedTrigger(table string) string {
	return "GRANT ALL ON " + table + " TO app; CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON " + table + " FOR EACH ROW EXECUTE FUNCTION custom_audit_trigger_function()"
}

// TestDefects reproduces each defect of the seed with the seed as it stands, and shows it mended.
func TestDefects(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		admin := server.connect(t, "postgres")
		mended := map[string]string{} // databases in which nothing but that was done
		for mend, f := range mends(t, server) {
			mended[mend] = server.seeded(t, "ALTER TABLE your_table DISABLE TRIGGER USER; INSERT INTO your_table VALUES (1, 'x'); ALTER TABLE your_table ENABLE TRIGGER USER")
			f(mended[mend])
			exec(t, admin, fmt.Sprintf("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '%s'", mended[mend]))
		}
		for _, d := range defects {
			if d.newest && server.version != oldestAndNewest[1] {
				continue
			}
			t.Run(d.name, func(t *testing.T) {
				for mend, f := range mends(t, server) {
					server.cases++
					name := "case_" + strconv.Itoa(server.cases)
					from := mended[mend]
					if d.before {
						from = mended["the seed"]
					}
					exec(t, admin, "CREATE DATABASE "+name+" TEMPLATE "+from)
					exec(t, server.connect(t, name), d.prepare)
					if d.before {
						f(name)
					}
					user := "app"
					if d.super {
						user = ""
					}
					got := try(t, server.connectAs(t, name, user, ""), d.act)
					if got != "" {
						got += " "
					}
					got += ask(t, server.connect(t, name), d.look)
					want := d.mended
					if mend == "the seed" {
						want = d.seed
					}
					if got != want {
						t.Errorf("with %s: %q, want %q", mend, got, want)
					}
				}
			})
		}
	})
}

// mends are the ways to mend a database that seeded made.
func mends(t *testing.T, server *testServer) map[string]func(database string) {
	return map[string]func(string){
		"the seed": func(string) {},
		"harden":   func(database string) { server.harden(t, database, Harden{Rewrite: true}) },
		"install and attach": func(database string) {
			server.install(t, database)
			db := server.open(t, database)
			apply(t, db, func() (Script, error) { return db.Attach(t.Context(), Attach{Schemas: []string{"public"}}) })
		},
	}
}

// Triggers that are gone or off are what coverage is for.
func TestDefectsInCoverage(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		for _, test := range []struct{ name, act, table string }{
			{"DISABLE TRIGGER is silent", "ALTER TABLE your_table DISABLE TRIGGER custom_audit_trigger", "public.your_table"},
			{"a detached partition loses its trigger", "ALTER TABLE parted DETACH PARTITION part", "public.part"},
		} {
			t.Run(test.name, func(t *testing.T) {
				name := server.seeded(t, "CREATE TABLE parted (id int PRIMARY KEY, column_name text) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parted DEFAULT; "+seedTrigger("parted"))
				conn := server.connect(t, name)
				state := func() State {
					coverage, err := server.open(t, name).Coverage(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for _, table := range coverage.Tables {
						if table.Table == test.table {
							return table.State
						}
					}
					return ""
				}
				server.harden(t, name, Harden{})
				if got := state(); got == Broken || got == Unaudited {
					t.Errorf("after harden %s is %s", test.table, got)
				}
				exec(t, conn, test.act)
				if got := state(); got != Broken {
					t.Errorf("after %s it is %q, want broken", test.act, got)
				}
				exec(t, conn, "INSERT INTO "+strings.TrimPrefix(test.table, "public.")+" VALUES (1, 'unseen')")
				if got := ask(t, conn, count); got != "0" {
					t.Errorf("%s rows; what coverage tells would not matter", got)
				}
			})
		}
	})
}

// A trigger that attach replaced comes back.
func TestUndoAttach(t *testing.T) {
	server := startServer(t, 18)
	const triggers = "SELECT string_agg(tgenabled::text || pg_get_triggerdef(oid), ', ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 'your_table'::regclass"
	name := server.seeded(t, "")
	conn := server.connect(t, name)
	before := ask(t, conn, triggers)
	db := server.open(t, name)
	server.harden(t, name, Harden{})
	apply(t, db, func() (Script, error) {
		return db.Attach(t.Context(), Attach{Tables: []config.Table{{Schema: "public", Name: "your_table"}}})
	})
	if got := ask(t, conn, triggers); strings.Contains(got, "custom_audit_trigger_function") {
		t.Errorf("attach left %s", got)
	}
	apply(t, db, func() (Script, error) { return db.Unharden(t.Context()) })
	if got := ask(t, conn, triggers); got != before {
		t.Errorf("the triggers are %s\nbefore they were %s", got, before)
	}
}
