package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgwitness/internal/setup"
)

// fault is something that is done to a sound database, and undone.
type fault struct {
	do, undo string
	want     map[string]Status
	words    []string // that each finding, with its fix, has
	since    int
}

// faults are one after another on the same server. $month is the name of the partition of the next month.
var faults = []fault{
	{
		do: "ALTER ROLE pgwitness NOREPLICATION", undo: "ALTER ROLE pgwitness REPLICATION",
		want: map[string]Status{"streaming-role": Problem}, words: []string{"pgwitness init --apply"},
	}, {
		do:   "REVOKE CONNECT ON DATABASE shop FROM PUBLIC, pgwitness",
		undo: "GRANT CONNECT ON DATABASE shop TO PUBLIC, pgwitness",
		want: map[string]Status{"role-connect": Problem}, words: []string{"role pgwitness may not connect to database shop"},
	}, {
		do:   "ALTER PUBLICATION pgwitness SET (publish_via_partition_root = false)",
		undo: "ALTER PUBLICATION pgwitness SET (publish_via_partition_root = true)",
		want: map[string]Status{"publication": Problem}, words: []string{"pgwitness init --apply"},
	}, {
		do:   "ALTER PUBLICATION pgwitness SET (publish = 'insert, truncate')",
		undo: "ALTER PUBLICATION pgwitness SET (publish = 'insert, update, delete, truncate')",
		want: map[string]Status{"tampering-published": Problem, "publication": OK},
	}, {
		do:   "ALTER PUBLICATION pgwitness SET (publish = 'delete')",
		undo: "ALTER PUBLICATION pgwitness SET (publish = 'insert, update, delete, truncate')",
		want: map[string]Status{"publication": Problem, "tampering-published": Problem},
	}, {
		do: "ALTER DATABASE shop SET wal_sender_timeout = 0", undo: "ALTER DATABASE shop RESET wal_sender_timeout",
		want: map[string]Status{"wal-sender-timeout": Warning}, words: []string{"wal_sender_timeout is 0"},
	}, {
		do: "SELECT pg_create_physical_replication_slot('standby')", undo: "SELECT pg_drop_replication_slot('standby')",
		want: map[string]Status{"slot-failover": Warning}, words: []string{"(FAILOVER true)"}, since: 17,
	}, {
		do:   "DROP TRIGGER pgwitness_row ON shop; DROP TRIGGER pgwitness_truncate ON shop",
		undo: rowTrigger + truncateTrigger,
		want: map[string]Status{"capture": Unknown, "delete-image": Skipped, "trigger-enabled": Skipped, "coverage": Problem},
	}, {
		// The seed's function beside the other one, for a table of its own.
		do: `CREATE TABLE old (id int PRIMARY KEY, column_name text);
			CREATE FUNCTION old_function() RETURNS trigger LANGUAGE plpgsql AS $f$BEGIN
				/* OLD */ INSERT INTO custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data) -- OLD *<> NEW
				VALUES (TG_OP, current_timestamp, current_user, TG_TABLE_NAME, jsonb_build_object('id', NEW.id, 'column_name', NEW.column_name));
				RETURN NEW; END$f$;
			CREATE TRIGGER old_trigger AFTER INSERT OR UPDATE OR DELETE ON old FOR EACH ROW EXECUTE FUNCTION old_function()`,
		undo: "DROP TABLE old; DROP FUNCTION old_function()",
		want: map[string]Status{
			"delete-image": Problem, "old-image": Problem, "whole-row": Problem, "no-op-updates": Warning, "who": Warning, "search-path": Problem,
			"settings": Warning, "large-values": Warning, "definer": Problem, "function-owner": Problem, "temp-diversion": Problem,
		}, words: []string{"public.old_function()", "pgwitness audit install --function public.old_function --apply"},
	}, {
		do:    "CREATE TRIGGER twice AFTER INSERT ON custom_audit_log FOR EACH ROW EXECUTE FUNCTION pgwitness.capture()",
		undo:  "DROP TRIGGER twice ON custom_audit_log",
		want:  map[string]Status{"recursion": Warning},
		words: []string{"to no purpose", "DROP TRIGGER twice ON public.custom_audit_log;"},
	}, {
		do: "ALTER TABLE shop DISABLE TRIGGER pgwitness_row", undo: "ALTER TABLE shop ENABLE ALWAYS TRIGGER pgwitness_row",
		want:  map[string]Status{"trigger-enabled": Problem, "trigger-always": OK, "coverage": Problem},
		words: []string{"public.shop"},
	}, {
		do: "ALTER TABLE shop ENABLE TRIGGER pgwitness_row", undo: "ALTER TABLE shop ENABLE ALWAYS TRIGGER pgwitness_row",
		want: map[string]Status{"trigger-always": Problem, "trigger-enabled": OK}, words: []string{"pgwitness audit attach public.shop --apply"},
	}, {
		do: "DROP TRIGGER pgwitness_truncate ON shop", undo: truncateTrigger,
		want: map[string]Status{"trigger-truncate": Problem}, words: []string{"pgwitness audit attach public.shop --apply"},
	}, {
		do: `DROP TRIGGER pgwitness_row ON shop;
			CREATE TRIGGER pgwitness_row AFTER INSERT OR UPDATE ON shop FOR EACH ROW EXECUTE FUNCTION pgwitness.capture('id')`,
		undo: "DROP TRIGGER pgwitness_row ON shop; " + rowTrigger,
		want: map[string]Status{"trigger-operations": Problem}, words: []string{"pgwitness audit attach public.shop --apply"},
	}, {
		do:   "ALTER EVENT TRIGGER pgwitness_ddl DISABLE; ALTER EVENT TRIGGER pgwitness_drop DISABLE",
		undo: "ALTER EVENT TRIGGER pgwitness_ddl ENABLE ALWAYS; ALTER EVENT TRIGGER pgwitness_drop ENABLE ALWAYS",
		want: map[string]Status{"event-triggers": Warning}, words: []string{"pgwitness audit events --apply"},
	}, {
		do:   "GRANT INSERT ON custom_audit_log TO app; GRANT INSERT ON pgwitness.custom_audit_log_default TO PUBLIC",
		undo: "REVOKE INSERT ON custom_audit_log FROM app; REVOKE INSERT ON pgwitness.custom_audit_log_default FROM PUBLIC",
		want: map[string]Status{"insert-privilege": Problem, "change-privileges": OK},
		words: []string{"app (INSERT on public.custom_audit_log)", "REVOKE INSERT ON public.custom_audit_log FROM app;",
			"REVOKE INSERT ON pgwitness.custom_audit_log_default FROM PUBLIC;"},
	}, {
		do: "GRANT UPDATE (row_data) ON custom_audit_log TO app", undo: "REVOKE UPDATE (row_data) ON custom_audit_log FROM app",
		want: map[string]Status{"change-privileges": Problem, "insert-privilege": OK}, words: []string{"app (UPDATE on public.custom_audit_log)"},
	}, {
		do:   "CREATE ROLE \"Odd\"; GRANT UPDATE ON SEQUENCE custom_audit_log_id_seq TO \"Odd\"",
		undo: "REVOKE UPDATE ON SEQUENCE custom_audit_log_id_seq FROM \"Odd\"; DROP ROLE \"Odd\"",
		want: map[string]Status{"sequence-privileges": Problem, "change-privileges": OK}, words: []string{`REVOKE UPDATE ON SEQUENCE public.custom_audit_log_id_seq FROM "Odd";`},
	}, {
		do: "GRANT pg_write_all_data TO app", undo: "REVOKE pg_write_all_data FROM app",
		want: map[string]Status{"write-all": Warning}, words: []string{"REVOKE pg_write_all_data FROM app;"},
	}, {
		do: "ALTER ROLE pgwitness_audit LOGIN", undo: "ALTER ROLE pgwitness_audit NOLOGIN",
		want: map[string]Status{"owner": Problem, "function-owner": Problem},
	}, {
		do: "GRANT pgwitness_audit TO app", undo: "REVOKE pgwitness_audit FROM app",
		want: map[string]Status{"owner-members": Warning, "mask-key": Warning}, words: []string{"app"},
	}, {
		do: "DROP TRIGGER pgwitness_refuse ON pgwitness.$month", undo: "SELECT pgwitness.guard('pgwitness.$month')",
		want: map[string]Status{"guard": Problem}, words: []string{"SELECT pgwitness.guard('pgwitness.$month');"},
	}, {
		do: "ALTER TABLE custom_audit_log ENABLE TRIGGER pgwitness_refuse", undo: "ALTER TABLE custom_audit_log ENABLE ALWAYS TRIGGER pgwitness_refuse",
		want: map[string]Status{"guard": Problem}, words: []string{"public.custom_audit_log"},
	}, {
		do:   "CREATE RULE swallow AS ON INSERT TO custom_audit_log DO INSTEAD NOTHING",
		undo: "DROP RULE swallow ON custom_audit_log",
		want: map[string]Status{"interceptors": Warning}, words: []string{"DROP rule swallow on public.custom_audit_log;"},
	}, {
		do: `CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
			CREATE TRIGGER swallow BEFORE INSERT ON pgwitness.$month FOR EACH ROW EXECUTE FUNCTION swallow()`,
		undo: "DROP FUNCTION swallow() CASCADE",
		want: map[string]Status{"interceptors": Warning}, words: []string{"DROP trigger swallow on pgwitness.$month;"},
	}, {
		do:   "ALTER TABLE custom_audit_log ENABLE ROW LEVEL SECURITY",
		undo: "ALTER TABLE custom_audit_log DISABLE ROW LEVEL SECURITY",
		want: map[string]Status{"row-security": Problem}, words: []string{"ALTER TABLE public.custom_audit_log DISABLE ROW LEVEL SECURITY"},
	}, {
		do:   "GRANT EXECUTE ON FUNCTION pgwitness.capture() TO PUBLIC",
		undo: "REVOKE EXECUTE ON FUNCTION pgwitness.capture() FROM PUBLIC",
		want: map[string]Status{"function-execute": Problem}, words: []string{"REVOKE ALL ON FUNCTION pgwitness.capture() FROM PUBLIC;"},
	}, {
		do:   "GRANT EXECUTE ON FUNCTION pgwitness.add_partitions(int) TO app",
		undo: "REVOKE EXECUTE ON FUNCTION pgwitness.add_partitions(int) FROM app",
		want: map[string]Status{"function-execute": Problem}, words: []string{"pgwitness.add_partitions(integer) by app"},
	}, {
		do:   "ALTER FUNCTION pgwitness.capture() RESET bytea_output",
		undo: "ALTER FUNCTION pgwitness.capture() SET bytea_output = 'hex'",
		want: map[string]Status{"functions-altered": Problem}, words: []string{"capture"},
	}, {
		do: "CREATE ROLE boss SUPERUSER LOGIN", undo: "DROP ROLE boss",
		want: map[string]Status{"superusers": Warning}, words: []string{"2 superusers can log in: postgres, boss"},
	}, {
		do:   "GRANT SET ON PARAMETER session_replication_role TO app",
		undo: "REVOKE SET ON PARAMETER session_replication_role FROM app", since: 15,
		want: map[string]Status{"replica-role-setters": Warning}, words: []string{"FROM app;"},
	}, {
		do: "CREATE INDEX slow ON custom_audit_log USING gin (row_data)", undo: "DROP INDEX slow",
		want: map[string]Status{"gin-index": Warning}, words: []string{"DROP INDEX CONCURRENTLY public.slow;"},
	}, {
		do: `CREATE INDEX a ON custom_audit_log (table_name); CREATE INDEX b ON custom_audit_log (actor); CREATE INDEX c ON custom_audit_log (request_id);
			UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'a'::regclass`,
		undo: "DROP INDEX a, b, c",
		want: map[string]Status{"index-count": Warning, "invalid-indexes": Warning, "gin-index": OK}, words: []string{"public.a"},
	}, {
		do:   "ALTER TABLE pgwitness.$month SET (autovacuum_enabled = off)",
		undo: "ALTER TABLE pgwitness.$month RESET (autovacuum_enabled)",
		want: map[string]Status{"autovacuum": Warning}, words: []string{"ALTER TABLE pgwitness.$month RESET (autovacuum_enabled);"},
	}, {
		do:   "ALTER TABLE pgwitness.$month REPLICA IDENTITY FULL",
		undo: "ALTER TABLE pgwitness.$month REPLICA IDENTITY DEFAULT",
		want: map[string]Status{"replica-identity": Warning}, words: []string{"ALTER TABLE pgwitness.$month REPLICA IDENTITY DEFAULT;"},
	}, {
		do: "DROP TABLE pgwitness.$month", undo: "SELECT pgwitness.add_partitions(3)",
		want: map[string]Status{"partitions-ahead": Warning}, words: []string{"pgwitness audit retention --keep forever --apply"},
	}, {
		do:   late,
		undo: "SET pgwitness.retention = 'on'; DELETE FROM custom_audit_log WHERE id = -1",
		want: map[string]Status{"default-partition": Problem, "oldest-row": Warning, "retention-run": Warning},
	}, {
		do: late + `INSERT INTO custom_audit_log (event_type, event_timestamp, user_name, session_user_name, tx_id)
			VALUES ('RETENTION', current_timestamp, 'app', 'app', 1)`,
		undo: "SET pgwitness.retention = 'on'; DELETE FROM custom_audit_log WHERE id = -1 OR event_type = 'RETENTION'",
		want: map[string]Status{"oldest-row": OK, "retention-run": OK},
	}, {
		do: "CREATE TABLE custom_audit_log_old ()", undo: "DROP TABLE custom_audit_log_old",
		want: map[string]Status{"replaced-table": Warning}, words: []string{"public.custom_audit_log_old"},
	}, {
		do:   "DROP TABLE pgwitness.custom_audit_log_default",
		undo: withDefault,
		want: map[string]Status{"default-partition": Warning}, words: []string{withDefault},
	},
}

const withDefault = "CREATE TABLE pgwitness.custom_audit_log_default PARTITION OF public.custom_audit_log DEFAULT; " +
	"ALTER TABLE pgwitness.custom_audit_log_default OWNER TO pgwitness_audit; SELECT pgwitness.guard('pgwitness.custom_audit_log_default');"

// The facts that take a server of another kind, or hours: they are changed after they were read.
var conditions = []struct {
	id     string
	status Status
	word   string
	change func(*facts)
}{
	{"recursion", Problem, "writes into it", func(f *facts) {
		f.functions = []function{{Name: "f", code: "INSERT", Triggers: []trigger{{Relation: f.table.Name, Name: "t"}}}}
	}},
	{"detached-partitions", Warning, "audited partitions: public.a_1", func(f *facts) {
		f.power.Installed = false
		f.functions = []function{{Name: "f", Triggers: []trigger{{Relation: "public.a_1", Partition: true}}}}
	}},
	{"server-version", Problem, "PostgreSQL 13.2", func(f *facts) { f.setup.Major, f.setup.Version = 13, "13.2" }},
	{"server-primary", Problem, "standby", func(f *facts) { f.setup.Standby = true }},
	{"wal-level", Problem, "wal_level is replica", func(f *facts) { f.setup.WALLevel = "replica" }},
	{"replication-slots", Problem, "20 of max_replication_slots = 20", func(f *facts) { f.setup.Slots, f.server.Slot = 20, nil }},
	{"wal-senders", Problem, "20 of max_wal_senders = 20", func(f *facts) { f.setup.Senders = 20 }},
	{"audit-table", Problem, "name it", func(f *facts) { f.setup.Table = &setup.Obstacle{Problem: "a view", Remedy: "name it"} }},
	{"slot", Problem, "drop it", func(f *facts) { f.setup.Slot = &setup.Obstacle{Problem: "physical", Remedy: "drop it"} }},
	{"slot", Problem, "pgwitness init --apply", func(f *facts) { f.setup.CreateSlot[0].SQL = "SELECT 1" }},
	{"slot-consumer", OK, "role app streams", func(f *facts) { f.server.Slot.Active, f.server.Slot.Consumer = true, "app" }},
	{"slot-lag", Warning, "2.0 GB of WAL kept", func(f *facts) { f.server.Slot.Retained = 2 * gibi }},
	{"slot-lag", Warning, "1 MB until the slot may be lost", func(f *facts) { f.server.Slot.Retained, f.server.Slot.Safe = 2*mebi, new(int64(mebi)) }},
	{"slot-wal-limit", Warning, "unlimited", func(f *facts) { f.set("max_slot_wal_keep_size", "-1") }},
	{"slot-wal-limit", Warning, "only", func(f *facts) { f.set("max_slot_wal_keep_size", "512") }},
	{"slot-idle-timeout", Warning, "= 0", func(f *facts) { f.set("idle_replication_slot_timeout", "600") }},
	{"failover-order", Warning, "no standby has yet", func(f *facts) {
		f.server.Slot.Failover, f.server.Standbys = true, 1
		f.set("synchronized_standby_slots", "")
	}},
	{"failover-order", OK, "synchronized_standby_slots is standby_1", func(f *facts) {
		f.server.Slot.Failover, f.server.Standbys = true, 1
		f.set("synchronized_standby_slots", "standby_1")
	}},
	{"failover-order", OK, "no standby is known", func(f *facts) { f.server.Slot.Failover, f.server.Standbys = true, 0 }},
	{"wal-sender-timeout", Warning, "'1min'", func(f *facts) { f.set("wal_sender_timeout", "3000") }},
	{"decoding-memory", Warning, "3 transactions with 200 MB went to disk", func(f *facts) {
		f.server.Slot.Spill.Transactions, f.server.Slot.Spill.Bytes = 3, 200*mebi
	}},
	{"long-transactions", Warning, "SELECT pg_terminate_backend(7);", func(f *facts) {
		f.server.Transactions = []xact{{PID: 7, User: "app", State: "idle in transaction", Seconds: 7200}}
	}},
	{"prepared-transactions", Warning, "COMMIT PREPARED 'forgotten'", func(f *facts) { f.server.Prepared = []xact{{GID: "'forgotten'", Seconds: 301}} }},
	{"prepared-transactions", OK, "", func(f *facts) { f.server.Prepared = []xact{{GID: "'young'", Seconds: 299}} }},
	{"slot-valid", Problem, "max_slot_wal_keep_size was exceeded", func(f *facts) { f.server.Slot.WALStatus = "lost" }},
	{"slot-valid", Problem, "idle_timeout", func(f *facts) { f.server.Slot.Invalidation = "idle_timeout" }},
	{"slot-valid", Problem, "at once", func(f *facts) { f.server.Slot.WALStatus = "unreserved" }},
	{"tampering-published", Problem, "give it a key", func(f *facts) {
		f.setup.Publishes, f.setup.Publication = []string{"insert"}, []setup.Statement{{Notes: []string{"give it a key"}}}
	}},
	{"capture", Problem, "no trigger writes public.custom_audit_log", func(f *facts) { f.functions, f.rows = nil, new(rows) }},
	{"column-lengths", Problem, "user_name (50)", func(f *facts) { f.table.column("user_name").Length = 50 }},
	{"time-zone", Problem, "has no time zone", func(f *facts) { f.table.column("event_timestamp").Type = "timestamp without time zone" }},
	{"time-zone", Problem, "--rewrite --time-zone Europe/Berlin --apply", func(f *facts) {
		f.table.column("event_timestamp").Type, f.server.TimeZone = "timestamp without time zone", "Europe/Berlin"
	}},
	{"id-range", Problem, "80 % of 2147483647", func(f *facts) { f.numbered("integer", 1717986918, 1) }},
	{"id-range", Problem, "at 1000000 a day the rest lasts 5 months", func(f *facts) { f.numbered("integer", 2_000_000_000-3_000_000, 1997) }},
	{"id-range", Warning, "role postgres may not see how many", func(f *facts) {
		f.numbered("integer", 1, 1)
		f.table.Sequence.Last, f.rows = nil, nil
	}},
	{"tls", Warning, "verify-full", func(f *facts) { f.server.Remote = true }},
	{"tls", OK, "uses TLS", func(f *facts) { f.server.Remote, f.server.TLS = true, true }},
	{"temp-diversion", OK, "", func(f *facts) { f.functions[0].Config = nil }}, // the name has its schema
	{"table-size", Warning, "20 GB", func(f *facts) { f.large() }},
	{"partitioned", Warning, "pgwitness audit install --apply", func(f *facts) { f.large() }},
	{"autovacuum", Warning, "on the server", func(f *facts) { f.set("autovacuum", "off") }},
	{"partitions-ahead", Problem, "there is no partition for today", func(f *facts) { f.now = f.now.AddDate(1, 0, 0) }},
	{"coverage", Unknown, "no right", func(f *facts) { f.coverage.Tables, f.coverage.Unknown = nil, []string{"no right"} }},
}

// numbered makes id a column that is used up to last, in days at an even pace.
func (f *facts) numbered(kind string, last int64, days float64) {
	const day = 86_400
	f.table.column("id").Type = kind
	f.table.Sequence.Max, f.table.Sequence.Last = 1<<31-1, &last
	f.rows = &rows{Oldest: new(days * day), FirstID: new(int64(0)), LastID: &last}
}

func (f *facts) large() {
	f.table.Partitioned = false
	f.table.Relations = []relation{{Name: f.table.Name, Root: true, Kind: "r", Bytes: 20 * gibi, HeapBytes: 10 * gibi}}
}

func (f *facts) set(name, value string) {
	s := f.server.Settings[name]
	s.Value, s.Shown = value, value
	f.server.Settings[name] = s
}

// Every check is seen to find something, and to find nothing on a sound database.
func TestChecks(t *testing.T) {
	month := "custom_audit_log_" + time.Now().UTC().AddDate(0, 0, 1-time.Now().UTC().Day()).AddDate(0, 1, 0).Format("2006_01")
	named := func(text string) string { return strings.ReplaceAll(text, "$month", month) }
	seen := map[string]bool{}
	eachVersion(t, func(t *testing.T, s *site) {
		s.install(t)
		sound := func(t *testing.T, ids ...string) {
			t.Helper()
			r := examine(t, s.cfg)
			for _, c := range r.Checks {
				quiet := c.Status == OK || c.Status == Skipped || c.ID == "slot-consumer"
				if (len(ids) == 0 || slices.Contains(ids, c.ID)) && !quiet {
					t.Errorf("on a sound database: %v", c)
				}
			}
		}
		sound(t)
		wantStatus(t, examine(t, s.cfg).check(t, "slot-consumer"), Warning, "nobody streams")
		seen["slot-consumer"] = true
		for _, fault := range faults {
			if s.version < fault.since {
				continue
			}
			t.Run(named(fault.do), func(t *testing.T) {
				s.exec(t, "shop", named(fault.do))
				r := examine(t, s.cfg)
				var ids []string
				for id, status := range fault.want {
					var words []string
					if status == Problem || status == Warning {
						for _, word := range fault.words {
							words = append(words, named(word))
						}
						seen[id] = true
					}
					wantStatus(t, r.check(t, id), status, words...)
					ids = append(ids, id)
				}
				s.exec(t, "shop", named(fault.undo))
				sound(t, ids...)
			})
		}
		sound(t)
		if s.version < 18 { // they are the same for every server
			return
		}
		for _, condition := range conditions {
			t.Run(condition.id, func(t *testing.T) {
				f := s.facts(t)
				condition.change(f)
				c := checks()[slices.IndexFunc(checks(), func(c check) bool { return c.id == condition.id })]
				out := c.find(f)
				wantStatus(t, Check{ID: c.id, Status: out.status, Finding: out.text, Why: c.why, Fix: out.fix}, condition.status, condition.word)
				seen[condition.id] = seen[condition.id] || condition.status == Problem || condition.status == Warning
			})
		}
	})
	for _, c := range checks() {
		if !seen[c.id] {
			t.Errorf("check %s was never seen to find anything", c.id)
		}
	}
}
