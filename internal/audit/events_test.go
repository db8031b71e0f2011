package audit

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/replication"
	"pgwitness/scripts"
)

// The seed's defect: whoever changes the tables themselves is not seen.
func TestDDLUnseen(t *testing.T) {
	const changes = `CREATE TABLE orders (id int); ALTER TABLE your_table DISABLE TRIGGER ALL; GRANT SELECT ON orders TO PUBLIC; DROP TABLE orders;`
	eachVersion(t, embeddedpg.Versions(), func(t *testing.T, s *testServer) {
		seeded := s.connect(t, s.database(t))
		exec(t, seeded, "CREATE TABLE your_table (id int, column_name text);"+scripts.Seed+changes)
		if rows := ask(t, seeded, "SELECT count(*) FROM custom_audit_log"); rows != "0" {
			t.Errorf("the seed wrote %s rows: the defect is gone", rows)
		}

		database := s.installed(t)
		conn := s.connect(t, database)
		exec(t, conn, "CREATE TABLE your_table (id int, column_name text)")
		exec(t, conn, "CREATE PUBLICATION witness FOR TABLE public.custom_audit_log WITH (publish_via_partition_root = true)")
		exec(t, conn, "SELECT pg_create_logical_replication_slot('witness', 'pgoutput')")
		d := s.open(t, database)
		apply(t, d, func() (Script, error) { return d.Events(t.Context(), Events{DDL: true}) })
		exec(t, conn, changes)
		want := []string{
			"audit insert CREATE TABLE public.orders", "audit insert ALTER TABLE public.your_table", "audit insert GRANT ",
			"audit insert DROP TABLE public.orders",
		}
		if diff := cmp.Diff(want, streamed(t, s, database)); diff != "" {
			t.Errorf("events in the stream (-want +got):\n%s", diff)
		}

		apply(t, d, func() (Script, error) { return d.RemoveEvents(t.Context()) })
		exec(t, conn, changes)
		if rows := ask(t, conn, "SELECT count(*) FROM custom_audit_log"); rows != "4" {
			t.Errorf("%s rows after --undo, want the 4 from before", rows)
		}
	})
}

// streamed returns what the slot and publication witness have of the audit table until now.
func streamed(t *testing.T, s *testServer, database string) []string {
	t.Helper()
	var end decoder.LSN
	if err := end.UnmarshalText([]byte(ask(t, s.connect(t, database), "SELECT pg_current_wal_insert_lsn()"))); err != nil {
		t.Fatal(err)
	}
	stream := replication.NewStream(replication.Config{
		ConnConfig: func() (*pgconn.Config, error) { return s.configAs(t, database, "", ""), nil },
		Slot:       "witness", Publication: "witness", Schema: "public", Table: "custom_audit_log", EndPos: end,
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, errors.New("not all was streamed within 30 s"))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx) }()
	var got []string
	for {
		batch, err := stream.Next(ctx)
		if err != nil {
			cancel()
			if runErr := <-ended; !errors.Is(err, io.EOF) || runErr != nil {
				t.Fatalf("the stream: %v, %v", err, runErr)
			}
			return got
		}
		for _, event := range batch.Events {
			var row struct {
				EventType string `json:"event_type"`
				RowData   struct {
					Object struct{ Identity string }
				} `json:"row_data"`
			}
			if err := json.Unmarshal(event.Row(), &row); err != nil {
				t.Fatal(err)
			}
			got = append(got, event.Kind().String()+" "+event.Op().String()+" "+row.EventType+" "+row.RowData.Object.Identity)
		}
		stream.Confirm(batch.End)
	}
}

// eventRows gives the rows written since the last time, one a line.
const eventRows = `WITH new AS (SELECT *, row_data -> 'object' AS object FROM custom_audit_log
		WHERE id > coalesce(nullif(current_setting('test.seen', true), ''), '0')::bigint ORDER BY id),
	seen AS (SELECT set_config('test.seen', coalesce(max(id)::text, current_setting('test.seen', true)), false) FROM new)
	SELECT string_agg(concat_ws(' | ', event_type, coalesce(schema_name, '-') || '.' || coalesce(table_name, '-'), object ->> 'type', object ->> 'identity',
		CASE WHEN rel_oid IS NOT NULL THEN 'oid' END, CASE WHEN row_data ? 'dropped' THEN 'dropped' END,
		'disabled ' || (row_data ->> 'disabled_triggers'), 'redacted ' || (row_data ->> 'redacted')), E'\n' ORDER BY new.id) FROM new, seen`

func TestDDLEvents(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		{"table with its sequence and index", `CREATE TABLE orders (id serial PRIMARY KEY, note text)`, `
			CREATE SEQUENCE | public.orders_id_seq | sequence | public.orders_id_seq | oid
			CREATE TABLE | public.orders | table | public.orders | oid
			CREATE INDEX | public.orders | index | public.orders_pkey | oid
			ALTER SEQUENCE | public.orders_id_seq | sequence | public.orders_id_seq | oid`},
		{"trigger", `CREATE TRIGGER "a ""b""" BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
			`CREATE TRIGGER | public.orders | trigger | "a ""b""" on public.orders | oid`},
		{"trigger disabled", `ALTER TABLE orders DISABLE TRIGGER "a ""b"""`, `ALTER TABLE | public.orders | table | public.orders | oid | disabled ["a \"b\""]`},
		{"the same in a function", `DO $$ BEGIN EXECUTE 'ALTER TABLE orders ENABLE REPLICA TRIGGER "a ""b"""'; END $$`,
			`ALTER TABLE | public.orders | table | public.orders | oid | disabled ["a \"b\""] | redacted ["statement"]`},
		{"trigger dropped", `DROP TRIGGER "a ""b""" ON orders`, `DROP TRIGGER | public.orders | trigger | "a ""b""" on public.orders | oid | dropped`},
		{"column dropped", `ALTER TABLE orders DROP COLUMN note`, `
			ALTER TABLE | public.orders | table column | public.orders.note | oid | dropped
			ALTER TABLE | public.orders | table | public.orders | oid`},
		{"policy", `CREATE POLICY p ON orders; DROP POLICY p ON orders`, `
			CREATE POLICY | public.orders | policy | p on public.orders | oid
			DROP POLICY | public.orders | policy | p on public.orders | oid | dropped`},
		{"rights", `GRANT SELECT ON orders TO PUBLIC; REVOKE ALL ON orders FROM PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC`, `
			GRANT | -.- | table
			REVOKE | -.- | table
			ALTER DEFAULT PRIVILEGES | -.- | tables`},
		{"rights that are not reported", `CREATE ROLE other; REASSIGN OWNED BY other TO CURRENT_USER; DROP OWNED BY other; DROP ROLE other`, `DROP OWNED | -.-`},
		{"cascade", `CREATE VIEW v AS SELECT id FROM orders; CREATE TABLE line (orders int REFERENCES orders); DROP TABLE orders CASCADE; DROP TABLE line`, `
			CREATE VIEW | public.v | view | public.v | oid
			CREATE TABLE | public.line | table | public.line | oid
			ALTER TABLE | public.line | table | public.line | oid
			DROP TABLE | public.orders | table | public.orders | oid | dropped
			DROP TABLE | public.v | view | public.v | oid | dropped
			DROP TABLE | public.line | table constraint | line_orders_fkey on public.line | oid | dropped
			DROP TABLE | public.line | table | public.line | oid | dropped`},
		{"temporary objects", `CREATE TEMP TABLE custom_audit_log (id serial PRIMARY KEY); CREATE INDEX ON pg_temp.custom_audit_log (id);
			CREATE TRIGGER t BEFORE UPDATE ON pg_temp.custom_audit_log FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
			CREATE TYPE pg_temp.t AS ENUM (); CREATE TEMP VIEW v AS SELECT 1; DROP TABLE pg_temp.custom_audit_log; DROP VIEW v; DROP TYPE pg_temp.t`, ``},
		{"a name that pretends to be temporary", `CREATE TABLE "on pg_temp.x" (id int); CREATE POLICY "p on pg_temp.x" ON "on pg_temp.x"; DROP TABLE "on pg_temp.x"`, `
			CREATE TABLE | public.on pg_temp.x | table | public."on pg_temp.x" | oid
			CREATE POLICY | public.on pg_temp.x | policy | "p on pg_temp.x" on public."on pg_temp.x" | oid
			DROP TABLE | public.on pg_temp.x | table | public."on pg_temp.x" | oid | dropped`},
		{"extension", `CREATE EXTENSION citext; CREATE TABLE mail (address citext, id int); DROP EXTENSION citext CASCADE; DROP TABLE mail`, `
			CREATE EXTENSION | -.- | extension | citext
			CREATE TABLE | public.mail | table | public.mail | oid
			DROP EXTENSION | -.- | extension | citext | dropped
			DROP EXTENSION | public.mail | table column | public.mail.address | oid | dropped
			DROP TABLE | public.mail | table | public.mail | oid | dropped`},
		{"rolled back", `CREATE TABLE never (); ROLLBACK`, ``},
		{"nothing done", `CREATE SCHEMA IF NOT EXISTS pgwitness`, ``},
	}
	eachVersion(t, oldestAndNewest, func(t *testing.T, s *testServer) {
		database := s.installed(t)
		d := s.open(t, database)
		apply(t, d, func() (Script, error) { return d.Events(t.Context(), Events{DDL: true}) })
		conn := s.connect(t, database)
		for _, test := range tests {
			exec(t, conn, test.sql)
			want := strings.ReplaceAll(strings.TrimSpace(test.want), "\n\t\t\t", "\n")
			if diff := cmp.Diff(want, ask(t, conn, strings.ReplaceAll(eventRows, " custom_audit_log", " public.custom_audit_log"))); diff != "" {
				t.Errorf("%s: audit rows (-want +got):\n%s", test.name, diff)
			}
		}

		// Who it was is told as for rows; add_partitions, which runs DDL itself, comes to an end.
		exec(t, s.connectAs(t, database, "ddl_user", "-c audit.actor=alice"), "CREATE TEMP TABLE x ()")
		exec(t, conn, "CREATE SCHEMA theirs AUTHORIZATION ddl_user")
		user := s.connectAs(t, database, "ddl_user", "-c audit.actor=alice -c audit.request_id=r1 -c application_name=psql")
		exec(t, user, "CREATE TABLE theirs.t ()")
		if got := ask(t, conn, `SELECT concat_ws(' ', event_type, user_name, session_user_name, host(client_addr), application_name, actor, request_id, row_data ->> 'statement')
			FROM custom_audit_log WHERE table_name = 't'`); got != "CREATE TABLE ddl_user ddl_user 127.0.0.1 psql alice r1 CREATE TABLE theirs.t ()" {
			t.Errorf("a user's DDL: %s", got)
		}
		exec(t, conn, "SELECT pgwitness.add_partitions(4)")
		if got := ask(t, conn, `SELECT count(*) FROM custom_audit_log WHERE event_type = 'CREATE TABLE' AND schema_name = 'pgwitness'`); got != "1" {
			t.Errorf("%s rows for the one table that add_partitions made", got)
		}
	})
}

func TestDDLStatement(t *testing.T) {
	kept := []string{
		`CREATE TABLE t (id int DEFAULT 1, note text CHECK (note <> ';'))`,
		"-- a note; insert it\n/* update */ CREATE SCHEMA s",
		`CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM x; INSERT INTO x VALUES (1); END $$; CREATE FUNCTION g() RETURNS int LANGUAGE sql AS $b$ SELECT 1 $b$`,
		`CREATE VIEW v AS SELECT 1; GRANT SELECT ON v TO PUBLIC; COMMENT ON VIEW v IS 'inserted; kept'`,
	}
	withheld := []string{
		`CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (user 'u', pass 'hunter2')`,
		`CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 user=hunter2' PUBLICATION p WITH (connect = false)`,
		`CREATE SCHEMA s; CREATE ROLE r Password 'hunter2'; DROP ROLE r`,
		`CREATE TABLE t (note text); INSERT INTO t VALUES ('hunter2')`,
		`CREATE TABLE t (note text); /* one */ -- two
			(  SELECT 'hunter2')`,
		`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$; SELECT 'hunter2'; CREATE FUNCTION g() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$`,
		`CREATE TABLE t AS SELECT 1; WITH x AS (SELECT 'hunter2') SELECT FROM x`,
		`DO $$ BEGIN PERFORM 'hunter2'; CREATE TABLE t (); END $$`,
		`SELECT set_config('test.note', 'hunter2', false); CREATE TABLE t ()`,
		`SET test.note = 'hunter2'; CREATE TABLE t ()`,
	}
	eachVersion(t, oldestAndNewest, func(t *testing.T, s *testServer) {
		conn := s.connect(t, s.installed(t))
		exec(t, conn, "BEGIN;"+scripts.Events+"COMMIT")
		rows := func(sql string) string {
			t.Helper()
			exec(t, conn, "BEGIN")
			exec(t, conn, sql)
			got := ask(t, conn, `SELECT string_agg(DISTINCT coalesce(row_data ->> 'statement', 'none'), ' AND ') FROM custom_audit_log`)
			text := ask(t, conn, `SELECT string_agg(row_data::text, ' ') FROM custom_audit_log`)
			exec(t, conn, "ROLLBACK")
			if strings.Contains(text, "hunter2") {
				t.Errorf("the audit rows tell a secret: %s", text)
			}
			return got
		}
		for _, sql := range kept {
			if got := rows(sql); got != sql {
				t.Errorf("the statement is %q, want %q", got, sql)
			}
		}
		for _, sql := range withheld {
			if got := rows(sql); got != "none" {
				t.Errorf("the statement is %q, want none of %q", got, sql)
			}
		}
		long := "CREATE TABLE t (); -- " + strings.Repeat("x", 65536)
		if got := rows(long); got != `{"$omitted": {"bytes": 65558}}` {
			t.Errorf("the statement of a large script is %.99q", got)
		}
	})
}

// What cannot be audited is refused, and a superuser has a way out.
func TestDDLFault(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, s *testServer) {
		conn := s.connect(t, s.installed(t))
		exec(t, conn, "BEGIN;"+scripts.Events+"COMMIT")
		if state := try(t, conn, "DROP TABLE public.custom_audit_log"); state != "42P01" {
			t.Errorf("dropping the audit table: SQLSTATE %q, want undefined_table: there is nothing to write it into", state)
		}
		_, err := conn.Exec(t.Context(), "ALTER TABLE public.custom_audit_log RENAME TO gone").ReadAll()
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || !strings.HasPrefix(pgErr.Message, "pgwitness cannot audit this ALTER TABLE: ") || !strings.Contains(pgErr.Hint, "pgwitness_ddl") {
			t.Errorf("renaming it: %v", err)
		}
		exec(t, conn, "ALTER EVENT TRIGGER pgwitness_ddl DISABLE; ALTER EVENT TRIGGER pgwitness_drop DISABLE; DROP TABLE public.custom_audit_log")
	})
}

func TestEventsRefused(t *testing.T) {
	s := startServer(t, 16)
	database := s.database(t)
	d := s.open(t, database)
	for events, want := range map[Events]string{
		{DDL: true, Login: true}: "from 17 on",
		{DDL: true}:              "pgwitness audit install",
	} {
		if script, err := d.Events(t.Context(), events); !errors.Is(err, replication.ErrSetup) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v (error %v)", events, script, err)
		}
	}
	exec(t, s.connect(t, database), "BEGIN;"+scripts.Capture+scripts.Install+"COMMIT")
	script, err := d.Events(t.Context(), Events{DDL: true})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Open(t.Context(), Config{ConnConfig: s.configAs(t, database, "plain_user", "")})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := plain.Apply(t.Context(), io.Discard, script); !errors.Is(err, replication.ErrSetup) || !strings.Contains(err.Error(), "superuser") {
		t.Errorf("as an ordinary user: %v", err)
	}
}

// Whatever somebody has altered is put right.
func TestEventsMended(t *testing.T) {
	s := startServer(t, 18)
	database := s.installed(t)
	conn, d := s.connect(t, database), s.open(t, database)
	plan := func() (Script, error) { return d.Events(t.Context(), Events{DDL: true, Login: true}) }
	apply(t, d, plan)
	for _, sql := range []string{
		"ALTER EVENT TRIGGER pgwitness_ddl DISABLE",
		"ALTER EVENT TRIGGER pgwitness_login ENABLE",
		"DROP EVENT TRIGGER pgwitness_drop",
		"DROP EVENT TRIGGER pgwitness_drop; CREATE EVENT TRIGGER pgwitness_drop ON sql_drop WHEN TAG IN ('DROP VIEW') EXECUTE FUNCTION pgwitness.capture_ddl()",
		"GRANT EXECUTE ON FUNCTION pgwitness.capture_ddl() TO PUBLIC",
		"ALTER FUNCTION pgwitness.capture_ddl() SECURITY INVOKER",
		"ALTER FUNCTION pgwitness.capture_login() SET search_path = public",
		"ALTER FUNCTION pgwitness.capture_login() RESET lock_timeout",
		"GRANT EXECUTE ON FUNCTION pgwitness.ddl_objects(text, text) TO PUBLIC",
		"ALTER FUNCTION pgwitness.capture_login() OWNER TO CURRENT_USER",
		"CREATE OR REPLACE FUNCTION pgwitness.capture_login() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN END'",
	} {
		exec(t, conn, sql)
		if said := apply(t, d, plan); said == "" {
			t.Errorf("after %s: nothing was said", sql)
		}
	}
}

func TestLogin(t *testing.T) {
	eachVersion(t, []int{17, 18}, func(t *testing.T, s *testServer) {
		database := s.installed(t)
		d := s.open(t, database)
		conn := s.connect(t, database)
		exec(t, conn, "CREATE PUBLICATION witness FOR TABLE public.custom_audit_log WITH (publish_via_partition_root = true)")
		exec(t, conn, "SELECT pg_create_logical_replication_slot('witness', 'pgoutput')")
		apply(t, d, func() (Script, error) { return d.Events(t.Context(), Events{Login: true}) })
		logins := func(user string) string {
			t.Helper()
			return ask(t, conn, `SELECT string_agg(concat_ws(' ', event_type, user_name, session_user_name, host(client_addr), application_name, row_data ->> 'authenticated_as'), ', ')
				FROM custom_audit_log WHERE session_user_name = '`+user+"'")
		}
		s.connectAs(t, database, "login_user", "-c application_name=psql")
		method := ask(t, s.connectAs(t, "postgres", "login_user", ""), "SELECT system_user")
		if got, want := logins("login_user"), "LOGIN login_user login_user 127.0.0.1 psql "+method; got != want {
			t.Errorf("audit rows %q, want %q", got, want)
		}
		if got := streamed(t, s, database); len(got) == 0 || got[len(got)-1] != "audit insert LOGIN " {
			t.Errorf("events in the stream: %q", got)
		}

		// What keeps the row from being written keeps nobody out.
		partitions := `DO $$ DECLARE p regclass; BEGIN FOR p IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'custom_audit_log'::regclass LOOP
			EXECUTE 'ALTER TABLE custom_audit_log DETACH PARTITION ' || p; END LOOP; END $$`
		tests := []struct{ name, fault, options string }{
			{"audit table locked", "BEGIN; LOCK TABLE custom_audit_log IN ACCESS EXCLUSIVE MODE", ""},
			{"the same under a transaction_timeout", "BEGIN; LOCK TABLE custom_audit_log IN ACCESS EXCLUSIVE MODE", "-c transaction_timeout=20ms"},
			{"the same under a statement_timeout", "BEGIN; LOCK TABLE custom_audit_log IN ACCESS EXCLUSIVE MODE", "-c statement_timeout=20ms"},
			{"read-only", "SELECT 1", "-c default_transaction_read_only=on"},
			{"no partition", partitions, ""},
			{"a column gone", "ALTER TABLE custom_audit_log DROP COLUMN actor", ""},
			{"no right", "ALTER TABLE custom_audit_log OWNER TO CURRENT_USER", ""},
			{"owner gone from the schema", "ALTER SCHEMA pgwitness OWNER TO CURRENT_USER; REVOKE ALL ON SCHEMA pgwitness FROM pgwitness_audit", ""},
			{"audit table dropped", "DROP TABLE custom_audit_log", ""},
		}
		for _, test := range tests {
			exec(t, conn, test.fault)
			before := serverLog(t, s)
			user := s.configAs(t, database, "login_user", test.options)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			c, err := pgconn.ConnectConfig(ctx, user)
			cancel()
			if err != nil {
				t.Errorf("%s: login_user is kept out: %v", test.name, err)
				continue
			}
			exec(t, c, "SELECT 1")
			_ = c.Close(t.Context())
			told := func() int {
				return strings.Count(serverLog(t, s)[len(before):], "pgwitness could not write this login of login_user from 127.0.0.1")
			}
			for deadline := time.Now().Add(10 * time.Second); told() == 0 && time.Now().Before(deadline); {
				ask(t, conn, "SELECT pg_sleep(0.01)") // the log is written by another process
			}
			if told() != 1 {
				t.Errorf("%s: the server's log tells it %d times", test.name, told())
			}
			if test.name != "audit table dropped" {
				s.open(t, database).Close()
			}
			if strings.HasPrefix(test.fault, "BEGIN") {
				exec(t, conn, "ROLLBACK")
			}
		}
	})
}

func serverLog(t *testing.T, s *testServer) string {
	t.Helper()
	log, err := os.ReadFile(s.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// A login that waited for a standby's confirmation would wait as long as the standby is down.
func TestLoginWithoutStandby(t *testing.T) {
	s := startServer(t, 18)
	database := s.installed(t)
	conn := s.connect(t, database)
	exec(t, conn, "BEGIN;"+scripts.Login+"COMMIT")
	exec(t, conn, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	exec(t, conn, "SELECT pg_reload_conf()")
	for deadline := time.Now().Add(20 * time.Second); ask(t, conn, "SHOW synchronous_standby_names") == ""; { // a setting is read between statements
		if time.Now().After(deadline) {
			t.Fatal("the setting was not read within 20 s")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := pgconn.ConnectConfig(ctx, s.configAs(t, database, "", "-c application_name=alone"))
	if err != nil {
		t.Fatalf("kept out: %v", err)
	}
	_ = c.Close(t.Context())
	if rows := ask(t, conn, "SELECT count(*) FROM custom_audit_log WHERE application_name = 'alone'"); rows != "1" {
		t.Errorf("%s audit rows of the login", rows)
	}
}
