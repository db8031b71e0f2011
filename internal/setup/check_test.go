package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/replication"
)

// What a person must change first is told before anything is printed or made.
func TestRefusals(t *testing.T) {
	const foreign = "CREATE FOREIGN DATA WRAPPER $name; CREATE SERVER $name FOREIGN DATA WRAPPER $name;"
	tests := []struct {
		name  string
		there string
		cfg   func(*Config)
		class error
		words []string
		since int
	}{
		{"view", "CREATE VIEW audit AS SELECT 1 AS id", nil, replication.ErrSetup, []string{".audit is not a table but a view"}, 0},
		{"materialized view", "CREATE MATERIALIZED VIEW audit AS SELECT 1 AS id", nil, replication.ErrSetup, []string{"a materialized view"}, 0},
		{"sequence", "CREATE SEQUENCE audit", nil, replication.ErrSetup, []string{"a sequence"}, 0},
		{"type", "CREATE TYPE audit AS (id int)", nil, replication.ErrSetup, []string{"something else"}, 0},
		{"foreign table", foreign + "CREATE FOREIGN TABLE audit (id int) SERVER $name", nil, replication.ErrSetup, []string{"a foreign table"}, 0},
		{"foreign partition", foreign + "CREATE TABLE audit (id int) PARTITION BY LIST (id); CREATE FOREIGN TABLE far PARTITION OF audit DEFAULT SERVER $name", nil,
			replication.ErrSetup, []string{".far is a foreign table", "detach it"}, 0},
		{"unlogged", "CREATE UNLOGGED TABLE audit (id int)", nil, replication.ErrSetup, []string{".audit SET LOGGED"}, 0},
		{"unlogged partition", "CREATE TABLE audit (id int) PARTITION BY LIST (id); CREATE UNLOGGED TABLE leaf PARTITION OF audit DEFAULT", nil,
			replication.ErrSetup, []string{".leaf SET LOGGED"}, 0},
		{"inheritance", "CREATE TABLE audit (id int); CREATE TABLE child () INHERITS (audit)", nil, replication.ErrSetup, []string{"declarative partitioning"}, 0},
		{"physical slot", seedTable + "SELECT pg_create_physical_replication_slot('$name')", nil, replication.ErrSetup,
			[]string{"is there already, physical", "pg_drop_replication_slot('case_"}, 0},
		{"temporary slot", seedTable, func(cfg *Config) { cfg.Slot = "temporary" }, replication.ErrSetup, []string{"temporary or two-phase"}, 0},
		{"two-phase slot", seedTable + "SELECT pg_create_logical_replication_slot('$name', 'pgoutput', false, true)", nil, replication.ErrSetup,
			[]string{"temporary or two-phase"}, 0},
		{"another database's slot", seedTable, func(cfg *Config) { cfg.Slot = "elsewhere" }, replication.ErrSetup,
			[]string{"slot elsewhere", "belongs to database template1"}, 0},
		{"slot without publication", seedTable + "SELECT pg_create_logical_replication_slot('$name', 'pgoutput')", func(cfg *Config) { cfg.Publication = "none_such" }, replication.ErrSetup,
			[]string{"publication none_such is not", "younger", "pg_drop_replication_slot('case_"}, 0},
		{"slot without failover", seedTable + "CREATE PUBLICATION $name FOR TABLE audit; SELECT pg_create_logical_replication_slot('$name', 'pgoutput')",
			func(cfg *Config) { cfg.Failover = true }, replication.ErrSetup, []string{"(FAILOVER true)"}, 17},
	}
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		exec(t, server.connect(t, "template1"), "SELECT pg_create_logical_replication_slot('elsewhere', 'pgoutput')")
		exec(t, server.connect(t, "postgres"), "SELECT pg_create_logical_replication_slot('temporary', 'pgoutput', true)")
		for _, test := range tests {
			if server.version < test.since {
				continue
			}
			t.Run(test.name, func(t *testing.T) {
				cfg := server.schema(t, test.there)
				if test.cfg != nil {
					test.cfg(&cfg)
				}
				s, err := Open(t.Context(), cfg)
				if err == nil {
					s.Close()
				}
				checkError(t, err, test.class, test.words...)
			})
		}
	})
}

func TestMissingTable(t *testing.T) {
	server := startServer(t, 18)
	for there, words := range map[string][]string{
		"": {"table public.audit does not exist in database case_", "create the audit table first"},
		"CREATE SCHEMA log; CREATE TABLE log.odd (); CREATE TABLE audits ()": {"did you mean public.audits?"},
	} {
		_, err := Open(t.Context(), server.database(t, there))
		checkError(t, err, replication.ErrSetup, words...)
	}
}

func TestFailoverNeedsNewerServer(t *testing.T) {
	cfg := startServer(t, 16).database(t, seedTable)
	cfg.Failover = true
	_, err := Open(t.Context(), cfg)
	checkError(t, err, replication.ErrSetup, "--failover", "PostgreSQL 16.", "came with 17")
}

func TestConnectFailures(t *testing.T) {
	server := startServer(t, 18)
	cfg := server.database(t, seedTable+"CREATE ROLE outsider LOGIN PASSWORD 'trustno1'; REVOKE CONNECT ON DATABASE $name FROM PUBLIC")
	nowhere := server.as(t, cfg, "outsider", "trustno1")
	nowhere.ConnConfig.Database = "nowhere"
	encrypted := cfg
	encrypted.ConnConfig = parse(t, strings.Replace(server.DSN("postgres"), "sslmode=disable", "sslmode=require", 1))
	closed := cfg
	closed.ConnConfig = cfg.ConnConfig.Copy()
	closed.ConnConfig.Port = 1
	for _, test := range []struct {
		name  string
		cfg   Config
		class error
		word  string
	}{
		{"wrong password", server.as(t, cfg, "outsider", "SECRET"), replication.ErrConfig, "check the user, the password"},
		{"no such user", server.as(t, cfg, "nobody", "SECRET"), replication.ErrConfig, "check the user, the password"},
		{"no such database", nowhere, replication.ErrConfig, `database "nowhere" does not exist`},
		{"no TLS", encrypted, replication.ErrConfig, "check sslmode"},
		{"no CONNECT", server.as(t, cfg, "outsider", "trustno1"), replication.ErrSetup, "connect as an administrator"},
		{"not there", closed, nil, "cannot reach the server"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(t.Context(), test.cfg)
			checkError(t, err, test.class, test.word)
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

// What is wrong with the server as a whole. The cases build on one another: the slot of the first is what the last finds.
func TestServerRefusals(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		cfg := server.database(t, seedTable)
		refused := func(class error, words ...string) {
			t.Helper()
			s, err := Open(t.Context(), cfg)
			if err == nil {
				s.Close()
			}
			checkError(t, err, class, words...)
		}
		set := func(settings ...string) {
			t.Helper()
			conn := server.connect(t, "postgres")
			exec(t, conn, "ALTER SYSTEM RESET ALL")
			for _, setting := range settings {
				exec(t, conn, "ALTER SYSTEM SET "+setting)
			}
			if err := server.Restart(t.Context(), embeddedpg.Fast); err != nil {
				t.Fatal(err)
			}
		}
		set("wal_level = 'replica'")
		refused(replication.ErrSetup, "wal_level is replica", "ALTER SYSTEM SET wal_level = 'logical' and restart")
		set("max_replication_slots = 0")
		refused(replication.ErrSetup, "all 0 replication slots are in use", "raise max_replication_slots")
		set("max_wal_senders = 0")
		refused(replication.ErrSetup, "all 0 WAL senders are in use", "raise max_wal_senders")

		set("max_slot_wal_keep_size = '1MB'")
		apply(t, cfg)
		conn := server.connect(t, cfg.ConnConfig.Database)
		for range 3 {
			exec(t, conn, "CREATE TABLE filler (); DROP TABLE filler; SELECT pg_switch_wal()")
		}
		exec(t, conn, "CHECKPOINT")
		refused(replication.ErrEvidence, "was invalidated", "pg_drop_replication_slot('case_1')", "take what is missing from the table")

		set()
		if err := server.Stop(t.Context(), embeddedpg.Fast); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(server.DataDir(), "standby.signal"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		refused(replication.ErrSetup, "the server is a standby", "connect to the primary")
	})
}
