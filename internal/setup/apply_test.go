package setup

import (
	"strings"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/replication"
)

// The main path: what init makes is enough for a role that has nothing but LOGIN REPLICATION and CONNECT.
func TestApply(t *testing.T) {
	eachVersion(t, embeddedpg.Versions(), func(t *testing.T, server *testServer) {
		cfg := server.database(t, seedTable+`
			REVOKE CONNECT ON DATABASE $name FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC;
			INSERT INTO audit SELECT i, 'old' FROM generate_series(1, 12) i`)
		said := apply(t, cfg)
		checkSaid(t, said,
			"role case_1 created with LOGIN REPLICATION",
			`\password case_1`,
			"database case_1 lets role case_1 connect",
			"publication case_1 created for public.audit (insert, update, delete, truncate)",
			"slot case_1 created at 0/",
			"12 rows are older than the slot and will not be streamed",
		)

		admin := server.connect(t, cfg.ConnConfig.Database)
		exec(t, admin, "ALTER ROLE case_1 PASSWORD 'trustno1'; INSERT INTO audit VALUES (13, 'new')")
		withStream(t, server.as(t, cfg, "case_1", "trustno1"), func(stream *replication.Stream) {
			for {
				batch, err := stream.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if len(batch.Events) == 0 {
					continue // a position to confirm
				}
				if got := string(batch.Events[0].Row()); len(batch.Events) != 1 || got != `{"id":13,"note":"new"}` {
					t.Errorf("%d events, the first with the row %s", len(batch.Events), got)
				}
				return
			}
		})
	})
}

// The script is for psql -f, which sends statement by statement and does not stop at an error.
func TestScript(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		cfg := server.database(t, "")
		conn := server.connect(t, cfg.ConnConfig.Database)
		// A comment that ended in the middle of a name would have the rest executed.
		exec(t, conn, "CREATE SCHEMA \"Sch\"\"ema\";\nCREATE TABLE \"Sch\"\"ema\".\"a\nSELECT 1/0; --\" (note text)")
		cfg.Schema, cfg.Table = `Sch"ema`, "a\nSELECT 1/0; --"
		cfg.Role, cfg.Publication = "Élan vital\r\nSELECT 1/0;", `Pub'li\c"`
		var script strings.Builder
		if err := open(t, cfg).WriteScript(t.Context(), &script); err != nil {
			t.Fatal(err)
		}
		checkSaid(t, script.String(), "0 rows are in the table now", "SET client_encoding = 'UTF8';")
		statements := strings.SplitAfter(strings.TrimSpace(script.String()), ";\n\n")
		slot := statements[len(statements)-1]

		if got := ask(t, conn, stripComments(slot)); got != "" {
			t.Errorf("without a publication, a slot was made at %s", got)
		}
		for _, statement := range statements {
			exec(t, conn, statement)
		}
		checkNothingToDo(t, cfg)
		checkStreams(t, cfg)
	})
}

func stripComments(sql string) string {
	var kept strings.Builder
	for line := range strings.Lines(sql) {
		if !strings.HasPrefix(line, "-- ") {
			kept.WriteString(line)
		}
	}
	return strings.TrimSuffix(kept.String(), ";\n")
}

func TestApplyMendsTheRole(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		for _, attributes := range []string{"", "LOGIN", "REPLICATION"} {
			cfg := server.schema(t, seedTable+"CREATE ROLE $name "+attributes)
			checkSaid(t, apply(t, cfg), "role "+cfg.Role+" now has ")
			got := ask(t, server.connect(t, "postgres"), "SELECT rolcanlogin AND rolreplication AND NOT rolsuper FROM pg_roles WHERE rolname = '"+cfg.Role+"'")
			if got != "t" {
				t.Errorf("CREATE ROLE %s: LOGIN REPLICATION is %s", attributes, got)
			}
		}
	})
}

// Amazon's servers have the role rds_replication in place of the attribute.
func TestApplyOnAmazon(t *testing.T) {
	server := startServer(t, 17)
	exec(t, server.connect(t, "postgres"), "CREATE ROLE rds_replication")
	for there, want := range map[string]string{
		"":                         "created with LOGIN",
		"CREATE ROLE $name LOGIN;": "is a member of rds_replication",
		"CREATE ROLE $name;":       "now has LOGIN",
	} {
		cfg := server.schema(t, seedTable+there)
		checkSaid(t, apply(t, cfg), "role "+cfg.Role+" "+want, "role "+cfg.Role+" is a member of rds_replication")
		got := ask(t, server.connect(t, "postgres"), "SELECT rolcanlogin AND NOT rolreplication FROM pg_roles WHERE rolname = '"+cfg.Role+"'")
		if got != "t" {
			t.Errorf("%q: LOGIN without REPLICATION is %s", there, got)
		}
	}
}

func TestFailover(t *testing.T) {
	eachVersion(t, []int{17, 18}, func(t *testing.T, server *testServer) {
		for _, failover := range []bool{false, true} {
			cfg := server.schema(t, seedTable)
			cfg.Failover = failover
			said := apply(t, cfg)
			if hint := strings.Contains(said, "--failover"); hint == failover {
				t.Errorf("failover %v, hint %v", failover, hint)
			}
			got := ask(t, server.connect(t, "postgres"), "SELECT failover FROM pg_replication_slots WHERE slot_name = '"+cfg.Slot+"'")
			if got == "t" != failover {
				t.Errorf("failover %v made a slot with %s", failover, got)
			}
		}
	})
}

// PostgreSQL answers some statements that do nothing with a warning only.
func TestApplyLooksAgain(t *testing.T) {
	cfg := startServer(t, 18).schema(t, seedTable)
	s := open(t, cfg)
	for i := range s.steps {
		if strings.HasPrefix(s.steps[i].sql, "CREATE PUBLICATION") {
			s.steps[i].sql = "SELECT 1"
		}
	}
	_, err := s.Apply(t.Context(), new(strings.Builder))
	checkError(t, err, nil, "publication case_1 is still not as it must be")
}

func TestCountGivesUp(t *testing.T) {
	server := startServer(t, 18)
	cfg := server.database(t, `CREATE TABLE audit (id int, note text) PARTITION BY RANGE (id);
		CREATE TABLE half PARTITION OF audit FOR VALUES FROM (0) TO (100000);
		CREATE TABLE other PARTITION OF audit FOR VALUES FROM (100000) TO (200000);
		INSERT INTO audit SELECT i FROM generate_series(1, 199999) i`)
	s := open(t, cfg)
	s.countPatience = 1e6 // 1 ms, which is not enough
	amount, caveat := s.countRows(t.Context())
	if amount != "an unknown number of rows is" || caveat != "counting took longer than 1ms" {
		t.Errorf("without statistics: %s (%s)", amount, caveat)
	}
	exec(t, server.connect(t, cfg.ConnConfig.Database), "ANALYZE half, other; ALTER TABLE audit ADD PRIMARY KEY (id)")
	if amount, caveat = s.countRows(t.Context()); amount != "about 199999 rows are" || caveat != "the planner's estimate, since counting took longer than 1ms" {
		t.Errorf("with statistics: %s (%s)", amount, caveat)
	}
}
