package setup

import (
	"strings"
	"testing"

	"pgwitness/internal/replication"
)

func TestRightsAreNamed(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		cfg := server.database(t, seedTable+`CREATE ROLE weak LOGIN PASSWORD 'trustno1';
			REVOKE CONNECT ON DATABASE $name FROM PUBLIC; GRANT CONNECT ON DATABASE $name TO weak`)
		s := open(t, server.as(t, cfg, "weak", "trustno1"))
		lacks := []string{"user weak", "CREATEROLE", "ownership of database case_1", "CREATE on database case_1", "ownership of table public.audit", "REPLICATION"}
		changed, err := s.Apply(t.Context(), new(strings.Builder))
		checkError(t, err, replication.ErrSetup, lacks...)
		if changed {
			t.Error("something was changed")
		}
		// Printing is not refused: somebody else may run the SQL. It says what that takes.
		var script strings.Builder
		if err := s.WriteScript(t.Context(), &script); err != nil {
			t.Fatal(err)
		}
		checkSaid(t, script.String(), append(lacks[1:], "User weak", "may not read all of it")...)

		exec(t, server.connect(t, cfg.ConnConfig.Database), "CREATE PUBLICATION case_1 WITH (publish = 'insert')")
		_, err = open(t, server.as(t, cfg, "weak", "trustno1")).Apply(t.Context(), new(strings.Builder))
		checkError(t, err, replication.ErrSetup, "ownership of publication case_1")
	})
}

// A superuser is not needed from PostgreSQL 16 on. Before, the server refuses the first statement.
func TestApplyWithoutSuperuser(t *testing.T) {
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		cfg := server.database(t, seedTable+`CREATE ROLE dba LOGIN CREATEROLE REPLICATION PASSWORD 'trustno1';
			ALTER TABLE audit OWNER TO dba; GRANT CREATE ON DATABASE $name TO dba`)
		cfg = server.as(t, cfg, "dba", "trustno1")
		if server.version >= 16 {
			apply(t, cfg)
			return
		}
		changed, err := open(t, cfg).Apply(t.Context(), new(strings.Builder))
		checkError(t, err, replication.ErrSetup, "CREATE ROLE case_1 LOGIN REPLICATION: ", "connect as a superuser")
		if changed {
			t.Error("something was changed")
		}
	})
}
