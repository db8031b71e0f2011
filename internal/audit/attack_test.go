package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/config"
	"pgwitness/scripts"
)

// The attacks are an ordinary application role's, which may write and read every attached table, make objects in a schema of
// its own, and make temporary ones. What somebody can do who owns a table or a type, or is a superuser, docs/SECURITY.md says.

const attackedTables = `
	CREATE TABLE plain (id int PRIMARY KEY, note text);
	CREATE TABLE bulk (id int PRIMARY KEY, note text, amount numeric DEFAULT 1.50, "o\'d" int DEFAULT 1);
	CREATE TABLE masked (id int PRIMARY KEY, note text, card text, hidden text);
	CREATE TABLE strict (id int PRIMARY KEY, body json);
	CREATE TABLE lenient (id int PRIMARY KEY, body json);
	CREATE TABLE parted (id int PRIMARY KEY, note text, at timestamptz DEFAULT '2026-01-01 12:00+00', span interval DEFAULT '1 day 2 hours', bin bytea DEFAULT '\x01',
		ratio float8 DEFAULT 0.1) PARTITION BY RANGE (id);
	CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
	CREATE SCHEMA app AUTHORIZATION attacker;
	GRANT USAGE ON SCHEMA app TO PUBLIC; -- else the definer would pass over it
	GRANT USAGE ON SCHEMA pgwitness TO attacker; -- as one who runs audit coverage has
	GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON plain, bulk, masked, strict, lenient, parted, parted_1 TO attacker;
	CREATE FUNCTION as_definer(id int) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO public.plain VALUES (id, 'definer') $$;
	GRANT other TO attacker;
	GRANT INSERT ON plain TO other`

// attacked makes a database with attached tables, and returns connections of the superuser and of the attacker to it.
func attacked(t *testing.T, s *testServer) (database string, admin, attacker *pgconn.PgConn) {
	t.Helper()
	database = s.installed(t)
	s.connectAs(t, database, "attacker", "")
	admin = s.connect(t, database)
	exec(t, admin, "ALTER ROLE attacker SET max_stack_depth = '300kB'") // the test of its depth is quicker then
	attacker = s.connectAs(t, database, "attacker", "")
	exec(t, admin, "DO $$ BEGIN CREATE ROLE other; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
	exec(t, admin, attackedTables)
	d := s.open(t, database)
	for _, attach := range []Attach{
		{Tables: tables("plain", "strict", "parted")},
		{Tables: tables("bulk"), Mode: "statement"},
		{Tables: tables("masked"), Mask: []string{"card"}, Exclude: []string{"hidden"}},
		{Tables: tables("lenient"), Fail: "open"},
	} {
		apply(t, d, func() (Script, error) { return d.Attach(t.Context(), attach) })
	}
	return database, admin, attacker
}

func tables(names ...string) []config.Table {
	var all []config.Table
	for _, name := range names {
		all = append(all, config.Table{Schema: "public", Name: name})
	}
	return all
}

func TestAttack(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, s *testServer) {
		for name, attack := range map[string]func(*testing.T, *testServer){
			"refused": attackRefused, "session": attackSession, "ways": attackWays, "unauditable": attackUnauditable,
			"identity": attackIdentity, "remaining powers": remainingPowers,
		} {
			t.Run(name, func(t *testing.T) { attack(t, s) })
		}
	})
}

const allAuditRows = `SELECT count(*) || coalesce(md5(string_agg(a::text, ',' ORDER BY id)), '') FROM custom_audit_log AS a`

// What changes the audit table, its triggers or the functions, or reads what must not be read, is refused.
func attackRefused(t *testing.T, s *testServer) {
	const denied = "42501"
	attacks := []struct{ sql, code string }{
		// Write.
		{"INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, session_user_name, tx_id) VALUES ('UPDATE', now(), 'x', 'x', 1)", denied},
		{"INSERT INTO pgwitness.custom_audit_log_default (id, event_type, event_timestamp, user_name, session_user_name, tx_id) VALUES (1, 'UPDATE', now(), 'x', 'x', 1)", denied},
		{"COPY public.custom_audit_log FROM STDIN", denied},
		{"CREATE TABLE app.t (id int); CREATE TRIGGER t AFTER INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION pgwitness.capture('id')", denied},
		{"CREATE TRIGGER t AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION pgwitness.capture('id')", denied},
		{"CREATE TRIGGER t AFTER INSERT ON plain EXECUTE FUNCTION pgwitness.capture_statement('{id}')", denied},
		{"CREATE TABLE app.t (id int) INHERITS (public.custom_audit_log)", "42809"},
		{"CREATE TABLE app.t PARTITION OF public.custom_audit_log FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')", denied},
		{"CREATE TABLE app.t (LIKE public.plain); ALTER TABLE public.custom_audit_log ATTACH PARTITION app.t FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')", denied},
		{"CREATE VIEW app.v AS SELECT * FROM public.custom_audit_log; INSERT INTO app.v (event_type) VALUES ('x')", denied},
		{"SELECT nextval('public.custom_audit_log_id_seq')", denied},
		{"SELECT setval('public.custom_audit_log_id_seq', 2147483647)", denied},
		{"SELECT pgwitness.add_partitions(1000)", denied},
		{"SET ROLE pgwitness_audit", denied},
		{"SET SESSION AUTHORIZATION pgwitness_audit", denied},
		{"GRANT pgwitness_audit TO attacker", denied},
		{"CREATE TABLE pgwitness.t ()", denied},
		// Alter, delete, truncate.
		{"UPDATE public.custom_audit_log SET user_name = 'x'", denied},
		{"DELETE FROM public.custom_audit_log", denied},
		{"DELETE FROM pgwitness.custom_audit_log_default", denied},
		{"SELECT pg_logical_emit_message(true, 'pgwitness.retention', '{\"table\":\"public.custom_audit_log\",\"before\":\"2027-01-01T00:00:00Z\"}'); SET pgwitness.retention = 'on'; DELETE FROM public.custom_audit_log", denied},
		{"TRUNCATE public.custom_audit_log", denied},
		{"DROP TABLE public.custom_audit_log", denied},
		{"ALTER TABLE public.custom_audit_log RENAME TO gone", denied},
		{"ALTER TABLE public.custom_audit_log DISABLE TRIGGER ALL", denied},
		{"ALTER TABLE public.custom_audit_log ENABLE ROW LEVEL SECURITY", denied},
		{"CREATE RULE r AS ON INSERT TO public.custom_audit_log DO INSTEAD NOTHING", denied},
		{"CREATE INDEX ON public.custom_audit_log ((1/0))", denied},
		{"CREATE TABLE app.t (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES public.custom_audit_log)", denied},
		{"BEGIN; LOCK TABLE public.custom_audit_log IN ACCESS EXCLUSIVE MODE", denied},
		{"BEGIN; LOCK TABLE pgwitness.custom_audit_log_default IN SHARE MODE", denied},
		// Divert and suppress.
		{"SET session_replication_role = replica", denied},
		{"ALTER TABLE plain DISABLE TRIGGER pgwitness_row", denied},
		{"ALTER TABLE parted_1 DISABLE TRIGGER ALL", denied},
		{"DROP TRIGGER pgwitness_row ON plain", denied},
		{"ALTER TRIGGER pgwitness_row ON plain RENAME TO x", denied},
		{"CREATE OR REPLACE FUNCTION pgwitness.capture() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", denied},
		{"ALTER FUNCTION pgwitness.capture() SET search_path = app", denied},
		{"ALTER FUNCTION pgwitness.capture() SECURITY INVOKER", denied},
		{"DROP FUNCTION pgwitness.capture() CASCADE", denied},
		{"DELETE FROM pgwitness.attachment", denied},
		{"CREATE RULE r AS ON INSERT TO plain DO INSTEAD NOTHING", denied},
		{"ALTER TABLE plain ADD COLUMN x int", denied},
		{"ALTER TABLE parted DETACH PARTITION parted_1", denied},
		{"CREATE CAST (text AS json) WITH INOUT", denied},
		{"CREATE CAST (public.plain AS json) WITHOUT FUNCTION", denied},
		{"CREATE FUNCTION pg_catalog.to_jsonb(text) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'", denied},
		{"CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION pgwitness.capture()", denied},
		{"ALTER ROLE attacker SET session_replication_role = replica", denied},
		{"CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)", denied},
		{"SET ROLE none; RESET SESSION AUTHORIZATION; ALTER ROLE attacker SUPERUSER", denied},
		// Read.
		{"SELECT * FROM pgwitness.mask_key", denied},
		{"TABLE pgwitness.attachment", denied},
		{"SELECT pgwitness.mask('\"4111\"')", denied},
		{"SELECT pgwitness.set_mask_key('known')", denied},
		{"SELECT row_data FROM public.custom_audit_log", denied},
		{"COPY public.custom_audit_log TO STDOUT", denied},
	}
	_, admin, attacker := attacked(t, s)
	exec(t, attacker, "INSERT INTO plain VALUES (1, 'evidence')")
	before := ask(t, admin, allAuditRows)
	for _, attack := range attacks {
		if code := try(t, attacker, attack.sql); code != attack.code {
			t.Errorf("%s: SQLSTATE %q, want %q", attack.sql, code, attack.code)
		}
		exec(t, attacker, "ROLLBACK; RESET ALL; RESET ROLE")
		if after := ask(t, admin, allAuditRows); after != before {
			t.Errorf("%s: the audit table was changed", attack.sql)
			before = after
		}
	}
}

// A session can be made as hostile as an ordinary role may make it: the audit rows are the same.
func attackSession(t *testing.T, s *testServer) {
	const work = `INSERT INTO plain VALUES (1, E'a\\b'), (2, NULL); UPDATE plain SET note = 'c' WHERE id = 1; DELETE FROM plain WHERE id = 2;
		INSERT INTO masked VALUES (1, 'n', '4111', 'h'); UPDATE masked SET card = '4112', hidden = 'i'; DELETE FROM masked;
		INSERT INTO bulk VALUES (1, 'a'), (2, 'b'); UPDATE bulk SET note = 'c', amount = 1.500, "o\'d" = 2; DELETE FROM bulk WHERE id = 2;
		INSERT INTO parted (id) VALUES (1); UPDATE parted SET note = 'b'; DELETE FROM parted; TRUNCATE plain, masked, bulk, parted`
	hostile := []string{
		"SET search_path = pg_temp, app, public, pg_catalog",
		"CREATE TEMP TABLE custom_audit_log (LIKE public.plain); CREATE TEMP TABLE old_rows (id int); CREATE TEMP TABLE new_rows (id int); CREATE TEMP TABLE pg_attribute (attname text); SET search_path = pg_temp, public",
		"CREATE DOMAIN pg_temp.jsonb AS text; CREATE DOMAIN pg_temp.text AS varchar(1); CREATE DOMAIN pg_temp.regclass AS text; SET search_path = pg_temp, public, pg_catalog",
		`CREATE FUNCTION pg_temp.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
		 CREATE FUNCTION app.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT 'nobody'::text $$;
		 CREATE FUNCTION app.inet_client_addr() RETURNS inet LANGUAGE sql AS $$ SELECT '8.8.8.8'::inet $$;
		 CREATE FUNCTION app.lie(jsonb, text) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$;
		 CREATE OPERATOR app.? (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = app.lie);
		 CREATE FUNCTION app.first_wins(text, text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$;
		 CREATE OPERATOR app.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = app.first_wins);
		 SET search_path = app, pg_temp, public, pg_catalog`,
		"SET standard_conforming_strings = off; SET escape_string_warning = off; SET backslash_quote = on",
		"SET transform_null_equals = on; SET array_nulls = off; SET quote_all_identifiers = on",
		"SET row_security = off; SET default_transaction_isolation = 'serializable'; SET default_transaction_deferrable = on",
		`SET "TimeZone" = 'Asia/Kathmandu'; SET "DateStyle" = 'German'; SET "IntervalStyle" = 'iso_8601'; SET bytea_output = 'escape'; SET extra_float_digits = -15`,
		"SET plpgsql.extra_errors = 'all'; SET plpgsql.check_asserts = off; SET plpgsql.print_strict_params = on; SET check_function_bodies = off",
		"SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_nestloop = off; SET enable_hashjoin = off; SET enable_sort = off; SET jit_above_cost = 0; SET work_mem = '64kB'",
		"SET enable_hashjoin = off; SET enable_nestloop = off; SET cpu_tuple_cost = 0; SET from_collapse_limit = 1; SET join_collapse_limit = 1; SET geqo_threshold = 2",
		"SET lc_monetary = 'C'; SET lc_numeric = 'C'; SET lc_time = 'C'; SET client_encoding = 'SQL_ASCII'; SET xmlbinary = 'hex'; SET xmloption = 'document'",
		"SET synchronous_commit = off; SET default_table_access_method = heap; SET client_min_messages = debug5; RESET client_min_messages",
		"SET pgwitness.retention = 'on'; SET audit.actor = ''; SET role = none",
		"SET statement_timeout = '60s'; SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = 0",
	}
	const rows = `SELECT string_agg(concat_ws(' ', event_type, user_name, session_user_name, table_name, schema_name, rel_oid::regclass, row_data, client_addr, actor,
		event_timestamp > now() - interval '1 minute'), E'\n' ORDER BY id) FROM custom_audit_log WHERE id > `
	database, admin, attacker := attacked(t, s)
	written := func(conn *pgconn.PgConn) string {
		t.Helper()
		last := ask(t, admin, "SELECT coalesce(max(id), 0) FROM custom_audit_log")
		exec(t, conn, work)
		return ask(t, admin, rows+last)
	}
	want := written(attacker)
	if n := strings.Count(want, "\n") + 1; n != 20 {
		t.Errorf("%d audit rows in a session that is not hostile, want 20:\n%s", n, want)
	}
	// In quotes: the digits alone may come up in a mask.
	if strings.Contains(want, `"411`) || strings.Contains(want, `"h"`) || !strings.Contains(want, "$masked") {
		t.Errorf("masked or excluded values:\n%s", want)
	}
	for _, prelude := range hostile {
		conn := s.connectAs(t, database, "attacker", "")
		exec(t, conn, prelude)
		if diff := cmp.Diff(want, written(conn)); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", prelude, diff)
		}
	}
}

// Whatever way a change takes, and whatever is undone around it: the audit rows add up to what the tables hold.
func attackWays(t *testing.T, s *testServer) {
	ways := []struct {
		sql   string
		since int
	}{
		{"BEGIN; INSERT INTO plain VALUES (1, 'a'); SAVEPOINT s; INSERT INTO plain VALUES (2, 'b'); UPDATE plain SET note = 'x'; ROLLBACK TO s; COMMIT", 0},
		{"DO $$ BEGIN INSERT INTO plain VALUES (3, 'c'); BEGIN UPDATE plain SET note = 'y'; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END $$", 0},
		{"INSERT INTO plain VALUES (1, 'again'), (4, 'd') ON CONFLICT DO NOTHING", 0},
		{"INSERT INTO plain VALUES (1, 'again'), (5, 'e') ON CONFLICT (id) DO UPDATE SET note = excluded.note", 0},
		{"INSERT INTO bulk VALUES (1, 'again'), (5, 'e') ON CONFLICT (id) DO UPDATE SET note = excluded.note", 0},
		{"INSERT INTO bulk VALUES (1, 'once more'), (6, 'f') ON CONFLICT (id) DO UPDATE SET note = excluded.note", 0},
		{"MERGE INTO plain USING (VALUES (1), (6)) AS v (id) ON plain.id = v.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'merged')", 15},
		{"MERGE INTO bulk USING (VALUES (1), (7)) AS v (id) ON bulk.id = v.id WHEN MATCHED THEN UPDATE SET note = 'm' WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'merged')", 15},
		{"BEGIN; DECLARE c CURSOR FOR SELECT * FROM plain WHERE id = 3 FOR UPDATE; FETCH c; UPDATE plain SET note = 'current' WHERE CURRENT OF c; COMMIT", 0},
		{"BEGIN; DECLARE c CURSOR FOR SELECT * FROM plain WHERE id = 3; FETCH c; DELETE FROM plain WHERE CURRENT OF c; COMMIT", 0},
		{"WITH moved AS (DELETE FROM plain WHERE id = 4 RETURNING *) INSERT INTO bulk SELECT id, note FROM moved", 0},
		{"PREPARE p AS INSERT INTO plain VALUES ($1, $2); EXECUTE p (7, 'g'); EXECUTE p (8, 'h'); DEALLOCATE p", 0},
		{"CREATE FUNCTION app.f() RETURNS void LANGUAGE sql AS $$ UPDATE public.plain SET note = 'sql' WHERE id = 8 $$; SELECT app.f()", 0},
		{"CREATE FUNCTION app.t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := NEW.note || '!'; RETURN NEW; END $$; CREATE TRIGGER zzz BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION app.t(); INSERT INTO plain VALUES (9, 'i')", 0},
		{"CREATE FUNCTION app.u() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.note = 'j!' THEN UPDATE public.plain SET note = 'twice' WHERE id = NEW.id; END IF; RETURN NULL; END $$; CREATE TRIGGER zzzz AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION app.u(); INSERT INTO plain VALUES (10, 'j')", 0},
		{"BEGIN; UPDATE plain SET note = 'prepared' WHERE id = 9; PREPARE TRANSACTION 'attack'; COMMIT PREPARED 'attack'", 0},
		{"BEGIN; UPDATE plain SET note = 'never' WHERE id = 9; PREPARE TRANSACTION 'attack'; ROLLBACK PREPARED 'attack'", 0},
		{"UPDATE plain SET id = id + 100 WHERE id = 9", 0},
		{"BEGIN; TRUNCATE plain; ROLLBACK", 0},
		{"INSERT INTO plain SELECT i, repeat('x', 3000000) FROM generate_series(20, 21) i", 0},
		{"UPDATE plain SET note = 'small' WHERE id = 20; DELETE FROM plain WHERE id = 21", 0},
		{"BEGIN; INSERT INTO plain VALUES (30, 'k'); SELECT pg_cancel_backend(pg_backend_pid()); COMMIT", 0},
		{"CREATE FUNCTION app.deep(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.plain VALUES (1000 + n, 'deep'); RETURN app.deep(n + 1); EXCEPTION WHEN statement_too_complex THEN RETURN n; END $$; SELECT app.deep(0)", 0},
		{"CREATE FUNCTION app.deep2(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN BEGIN INSERT INTO public.bulk VALUES (1000 + n, 'deep'); EXCEPTION WHEN statement_too_complex THEN NULL; END; RETURN app.deep2(n + 1); EXCEPTION WHEN statement_too_complex THEN RETURN n; END $$; SELECT app.deep2(0)", 0},
		{"SET statement_timeout = '1ms'; INSERT INTO plain SELECT i, 'late' FROM generate_series(5000, 9000) i", 0},
		{"RESET statement_timeout; INSERT INTO plain VALUES (40, 'after all')", 0},
	}
	// The last audit row of each key against the table; TRUNCATE was always rolled back.
	const difference = `SELECT count(*) FROM (SELECT DISTINCT ON (k) row_data -> 'key' ->> 'id' AS k, event_type, row_data -> 'new' AS new
			FROM (SELECT *, row_data -> 'key' ->> 'id' AS k FROM custom_audit_log WHERE table_name = '%[1]s'
				UNION ALL SELECT id, 'DELETE', event_timestamp, user_name, table_name, jsonb_build_object('key', row_data -> 'old'), schema_name, rel_oid,
					session_user_name, tx_id, client_addr, application_name, actor, request_id, row_data -> 'old' ->> 'id'
				FROM custom_audit_log WHERE table_name = '%[1]s' AND event_type = 'UPDATE' AND row_data -> 'old' ->> 'id' <> row_data -> 'new' ->> 'id') AS a
			ORDER BY k, id DESC) AS last
		FULL JOIN (SELECT id::text AS k, to_jsonb(t) AS image FROM %[1]s AS t) AS now USING (k)
		WHERE (last.event_type = 'DELETE') IS DISTINCT FROM (now.k IS NULL)
			OR now.k IS NOT NULL AND length(now.image::text) < 1000 AND last.new IS DISTINCT FROM now.image`
	_, admin, attacker := attacked(t, s)
	for _, way := range ways {
		if s.version < way.since {
			continue
		}
		for statement := range strings.SplitSeq(way.sql, "; ") { // the functions' bodies have it too: those go as they are
			if strings.Contains(way.sql, "$$") {
				statement = way.sql
			}
			if code := try(t, attacker, statement); code != "" && code != "57014" {
				t.Errorf("%s: SQLSTATE %s", statement, code)
			}
			if strings.Contains(way.sql, "$$") {
				break
			}
		}
		if attacker.TxStatus() != 'I' {
			exec(t, attacker, "ROLLBACK")
		}
		for _, table := range []string{"plain", "bulk"} {
			if n := ask(t, admin, fmt.Sprintf(difference, table)); n != "0" {
				t.Errorf("after %s: %s rows of %s are not as the audit rows have them", way.sql, n, table)
			}
		}
	}
	if rows := ask(t, admin, "SELECT count(*) FROM plain WHERE note LIKE 'deep%'"); rows == "0" {
		t.Error("no row was written from the depth of the stack")
	}
}

// What cannot be audited is not written either, whoever catches the error.
func attackUnauditable(t *testing.T, s *testServer) {
	_, admin, attacker := attacked(t, s)
	exec(t, attacker, `DO $$ BEGIN INSERT INTO strict VALUES (1, '{"a": "\u0000"}'); EXCEPTION WHEN OTHERS THEN NULL; END $$`)
	if rows := ask(t, admin, "SELECT count(*) FROM strict"); rows != "0" {
		t.Error("a row was written without being audited")
	}
	exec(t, attacker, `INSERT INTO lenient VALUES (1, '{"a": "\u0000"}')`)
	if got := ask(t, admin, "SELECT event_type || (row_data -> 'error' ->> 'sqlstate') FROM custom_audit_log WHERE table_name = 'lenient'"); got != "INSERT22P05" {
		t.Errorf("with --fail open: %q", got)
	}

	// The one who waits for the audit table gives up: nothing is written.
	exec(t, admin, "BEGIN; LOCK TABLE public.custom_audit_log IN ACCESS EXCLUSIVE MODE")
	for setting, want := range map[string]string{"statement_timeout": "57014", "lock_timeout": "55P03"} {
		for _, table := range []string{"plain", "lenient", "bulk"} {
			exec(t, attacker, "SET "+setting+" = '50ms'")
			if code := try(t, attacker, "INSERT INTO "+table+" (id) VALUES (99)"); code != want {
				t.Errorf("%s, %s: SQLSTATE %q, want %q", table, setting, code, want)
			}
			exec(t, attacker, "RESET "+setting)
		}
	}
	exec(t, admin, "ROLLBACK")
	if rows := ask(t, admin, "SELECT (SELECT count(*) FROM plain) + (SELECT count(*) FROM bulk) + (SELECT count(*) FROM lenient WHERE id = 99)"); rows != "0" {
		t.Errorf("%s rows were written without being audited", rows)
	}
}

// application_name, audit.actor and audit.request_id are what the client says. The others are not.
func attackIdentity(t *testing.T, s *testServer) {
	const who = `SELECT concat_ws(' ', user_name, session_user_name, host(client_addr), application_name, actor, request_id) FROM custom_audit_log ORDER BY id DESC LIMIT 1`
	_, admin, attacker := attacked(t, s)
	for i, test := range []struct{ prelude, sql, want string }{
		{"SET application_name = 'payroll'; SET audit.actor = 'alice'; SET audit.request_id = 'r1'", "INSERT INTO plain VALUES (%d)", "attacker attacker 127.0.0.1 payroll alice r1"},
		{"SET app.role = 'postgres'", "INSERT INTO plain VALUES (%d)", "attacker attacker 127.0.0.1 payroll alice r1"},
		{"SET ROLE other", "INSERT INTO plain VALUES (%d)", "other attacker 127.0.0.1 payroll alice r1"},
		{"RESET ROLE; RESET application_name; RESET audit.actor; RESET audit.request_id", "SELECT as_definer(%d)", "attacker attacker 127.0.0.1 "},
		{"", "INSERT INTO bulk VALUES (%d)", "attacker attacker 127.0.0.1 "},
	} {
		exec(t, attacker, test.prelude)
		exec(t, attacker, fmt.Sprintf(test.sql, i+1))
		if got := ask(t, admin, who); got != test.want {
			t.Errorf("%s; %s: %q, want %q", test.prelude, test.sql, got, test.want)
		}
	}
	// The time is the transaction's beginning, which the client can put off for no longer than it keeps it open.
	if got := ask(t, admin, "SELECT max(event_timestamp) <= now() AND max(event_timestamp) > now() - interval '1 minute' FROM custom_audit_log"); got != "t" {
		t.Error("event_timestamp can be chosen")
	}
}

// The powers beyond an ordinary role's that docs/SECURITY.md names are what it says they are.
func remainingPowers(t *testing.T, s *testServer) {
	const denied = "42501"
	const (
		insert = "INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, session_user_name, tx_id) VALUES ('UPDATE', now(), 'x', 'x', 1)"
		remove = "DELETE FROM public.custom_audit_log"
		change = "UPDATE public.custom_audit_log SET user_name = 'x'"
		key    = "SELECT inner_pad FROM pgwitness.mask_key"
		drop   = "DROP TABLE public.custom_audit_log"
	)
	tests := []struct {
		name, grant, sql, code string
		until                  int // the last version that it is so on, 0 for all
	}{
		{"pg_write_all_data forges", "GRANT pg_write_all_data TO powerful", insert, "", 0},
		{"the guard refuses it to delete", "GRANT pg_write_all_data, pg_read_all_data TO powerful", remove, denied, 0},
		{"and to change", "GRANT pg_write_all_data, pg_read_all_data TO powerful", change, denied, 0},
		{"pg_read_all_data reads the key", "GRANT pg_read_all_data TO powerful", key, "", 0},
		{"CREATEROLE makes itself a member", "ALTER ROLE powerful CREATEROLE", "GRANT pgwitness_audit TO powerful; " + key, "", 15},
		{"a member of the owner is refused by the guard", "GRANT pgwitness_audit TO powerful", remove, denied, 0},
		{"and disables it", "GRANT pgwitness_audit TO powerful", "ALTER TABLE public.custom_audit_log DISABLE TRIGGER ALL; " + change, "", 0},
		{"and takes a partition out of the WAL", "GRANT pgwitness_audit TO powerful", "ALTER TABLE pgwitness.custom_audit_log_default SET UNLOGGED", "", 0},
		{"the schema's owner drops the table", "ALTER SCHEMA public OWNER TO powerful", drop, "", 0},
		{"unless there are event triggers", "ALTER SCHEMA public OWNER TO powerful;" + scripts.Events, drop, "42P01", 0},
		{"a type's owner has code run as the definer", `CREATE TYPE public.kind AS ENUM ('a'); ALTER TYPE public.kind OWNER TO powerful;
			CREATE TABLE typed (id int PRIMARY KEY, kind public.kind); GRANT INSERT ON typed TO powerful; GRANT CREATE ON SCHEMA public TO powerful;
			CREATE TRIGGER t AFTER INSERT ON typed FOR EACH ROW EXECUTE FUNCTION pgwitness.capture('{id}', '{}')`,
			`CREATE FUNCTION public.cast_kind(public.kind) RETURNS json LANGUAGE plpgsql AS $$ BEGIN ` + insert + `; RETURN '1'; END $$;
			CREATE CAST (public.kind AS json) WITH FUNCTION public.cast_kind(public.kind); INSERT INTO typed VALUES (1, 'a')`, "", 0},
	}
	database := s.installed(t)
	s.connectAs(t, database, "powerful", "")
	admin := s.connect(t, database)
	exec(t, admin, "CREATE PUBLICATION witness FOR TABLE public.custom_audit_log WITH (publish_via_partition_root = true)")
	for _, test := range tests {
		if test.until != 0 && s.version > test.until {
			test.code = denied
		}
		exec(t, admin, "BEGIN")
		exec(t, admin, test.grant)
		exec(t, admin, "SET SESSION AUTHORIZATION powerful")
		if code := try(t, admin, test.sql); code != test.code {
			t.Errorf("%s: SQLSTATE %q, want %q", test.name, code, test.code)
		}
		exec(t, admin, "ROLLBACK")
	}
}
