package audit

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/admin"
	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/scripts"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// oldestAndNewest are the versions that a test runs against unless it is about the main path.
var oldestAndNewest = []int{14, 18}

// testServer is a server for many test cases, each in a database of its own.
type testServer struct {
	*embeddedpg.Server
	version int
	cases   int
}

// eachVersion runs f as a subtest for each version, and with -short for the last of them.
func eachVersion(t *testing.T, versions []int, f func(*testing.T, *testServer)) {
	for _, version := range pgtest.Versions(versions) {
		t.Run(strconv.Itoa(version), func(t *testing.T) { f(t, startServer(t, version)) })
	}
}

func startServer(t *testing.T, version int) *testServer {
	t.Helper()
	settings := map[string]string{"max_replication_slots": "20", "max_prepared_transactions": "5"}
	return &testServer{Server: pgtest.Start(t, embeddedpg.Config{Version: version, Settings: settings}), version: version}
}

// database makes a database with nothing in it and returns its name.
func (s *testServer) database(t *testing.T) string {
	t.Helper()
	s.cases++
	name := "case_" + strconv.Itoa(s.cases)
	exec(t, s.connect(t, "postgres"), "CREATE DATABASE "+name)
	return name
}

// installed is database with capture.sql and install.sql.
func (s *testServer) installed(t *testing.T) string {
	t.Helper()
	name := s.database(t)
	exec(t, s.connect(t, name), "BEGIN;"+scripts.Capture+scripts.Install+"COMMIT")
	return name
}

// connect connects as the superuser until the end of the test.
func (s *testServer) connect(t *testing.T, database string) *pgconn.PgConn {
	t.Helper()
	return s.connectAs(t, database, "", "")
}

// connectAs is connect for another user, who is made if need be, with startup options such as "-c lock_timeout=1s".
func (s *testServer) connectAs(t *testing.T, database, user, options string) *pgconn.PgConn {
	t.Helper()
	return pgtest.Connect(t, s.configAs(t, database, user, options))
}

func (s *testServer) configAs(t *testing.T, database, user, options string) *pgconn.Config {
	t.Helper()
	dsn, err := url.Parse(s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		exec(t, s.connect(t, "postgres"), fmt.Sprintf(`DO $$ BEGIN
			CREATE ROLE %[1]s LOGIN PASSWORD '%[1]s'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`, user))
		dsn.User = url.UserPassword(user, user)
	}
	cfg, err := pgconn.ParseConfig(dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	if options != "" {
		cfg.RuntimeParams["options"] = options
	}
	return cfg
}

// open is Open for public.custom_audit_log in a database.
func (s *testServer) open(t *testing.T, database string) *Database {
	t.Helper()
	d, err := Open(t.Context(), Config{ConnConfig: s.configAs(t, database, "", "")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// apply runs the script that plan makes, and checks that there is nothing to do then. It returns what was said.
func apply(t *testing.T, d *Database, plan func() (Script, error)) string {
	t.Helper()
	var said strings.Builder
	script, err := plan()
	if err != nil {
		t.Fatal(err)
	}
	if len(script.Steps) == 0 {
		t.Fatal("nothing to do")
	}
	if err := d.Apply(t.Context(), &said, script); err != nil {
		t.Fatalf("%v\nit had said:\n%s", err, &said)
	}
	if script, err = plan(); err != nil || len(script.Steps) != 0 {
		t.Errorf("after apply there is still something to do: %v (error %v)", script.Steps, err)
	}
	return said.String()
}

func exec(t *testing.T, conn *pgconn.PgConn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

// try runs sql and returns the SQLSTATE of its error, "" for none.
func try(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql).ReadAll()
	var pgErr *pgconn.PgError
	if err != nil && !errors.As(err, &pgErr) {
		t.Fatalf("%s\n%v", sql, err)
	}
	if err != nil {
		return pgErr.Code
	}
	return ""
}

// ask returns the first row's first column.
func ask(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	text, err := (&admin.Conn{PgConn: conn}).Text(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
	return text
}
