package setup

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/admin"
	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/replication"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// oldestAndNewest are the versions that a test runs against unless it is about the main path.
var oldestAndNewest = []int{14, 18}

// testServer is a server for many test cases. Each has a database or a schema of its own, whose name the role, the
// publication and the slot have too.
type testServer struct {
	*embeddedpg.Server
	version int
	cases   int
}

// eachVersion runs f as a subtest for each version, and with -short for the last of them.
func eachVersion(t *testing.T, versions []int, f func(*testing.T, *testServer)) {
	for _, version := range pgtest.Versions(versions) {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			f(t, startServer(t, version))
		})
	}
}

func startServer(t *testing.T, version int) *testServer {
	settings := map[string]string{"max_replication_slots": "100", "max_prepared_transactions": "5"}
	return &testServer{Server: pgtest.Start(t, embeddedpg.Config{Version: version, Settings: settings}), version: version}
}

// database makes a database in which sql has run, and returns how to set it up for the table public.audit.
func (s *testServer) database(t *testing.T, sql string) Config {
	t.Helper()
	s.cases++
	name := "case_" + strconv.Itoa(s.cases)
	exec(t, s.connect(t, "postgres"), "CREATE DATABASE "+name)
	return s.prepare(t, name, "public", name, sql)
}

// schema is database for the table audit in a schema of the database postgres, which is made much faster. connectTo
// finds it.
func (s *testServer) schema(t *testing.T, sql string) Config {
	t.Helper()
	s.cases++
	name := "case_" + strconv.Itoa(s.cases)
	exec(t, s.connect(t, "postgres"), "CREATE SCHEMA "+name)
	return s.prepare(t, "postgres", name, name, sql)
}

func (s *testServer) prepare(t *testing.T, database, schema, name, sql string) Config {
	t.Helper()
	cfg := Config{
		ConnConfig: parse(t, s.DSN(database)), Schema: schema, Table: "audit", Slot: name, Publication: name, Role: name,
		LockTimeout: 10 * time.Second,
	}
	conn := connectTo(t, cfg)
	for statement := range strings.SplitSeq(sql, ";") { // a slot cannot be made in a transaction that has written
		exec(t, conn, strings.ReplaceAll(statement, "$name", name))
	}
	return cfg
}

// connectTo connects to where cfg's table is.
func connectTo(t *testing.T, cfg Config) *pgconn.PgConn {
	t.Helper()
	to := cfg.ConnConfig.Copy()
	to.RuntimeParams["search_path"] = cfg.Schema
	return pgtest.Connect(t, to)
}

func (s *testServer) connect(t *testing.T, database string) *pgconn.PgConn {
	t.Helper()
	return pgtest.Connect(t, parse(t, s.DSN(database)))
}

// as returns cfg for another user.
func (s *testServer) as(t *testing.T, cfg Config, user, password string) Config {
	t.Helper()
	dsn, err := url.Parse(s.DSN(cfg.ConnConfig.Database))
	if err != nil {
		t.Fatal(err)
	}
	dsn.User = url.UserPassword(user, password)
	cfg.ConnConfig = parse(t, dsn.String())
	return cfg
}

func parse(t *testing.T, dsn string) *pgconn.Config {
	t.Helper()
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func exec(t *testing.T, conn *pgconn.PgConn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
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

func open(t *testing.T, cfg Config) *Setup {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// apply sets cfg up, checks that a second time changes nothing, and returns what the first one said.
func apply(t *testing.T, cfg Config) string {
	t.Helper()
	var said strings.Builder
	if changed, err := open(t, cfg).Apply(t.Context(), &said); err != nil || !changed {
		t.Fatalf("apply: changed %v, error %v; it said:\n%s", changed, err, &said)
	}
	checkNothingToDo(t, cfg)
	return said.String()
}

func checkNothingToDo(t *testing.T, cfg Config) {
	t.Helper()
	var script, said strings.Builder
	s := open(t, cfg)
	if err := s.WriteScript(t.Context(), &script); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(script.String()) {
		if line != "\n" && !strings.HasPrefix(line, "-- ") {
			t.Errorf("after apply, init prints more than comments:\n%s", &script)
			break
		}
	}
	if changed, err := s.Apply(t.Context(), &said); err != nil || changed {
		t.Errorf("a second apply: changed %v, error %v; it said:\n%s", changed, err, &said)
	}
}

// checkStreams has package replication make its checks and start streaming.
func checkStreams(t *testing.T, cfg Config) {
	t.Helper()
	withStream(t, cfg, func(*replication.Stream) {})
}

// withStream runs f with a stream that is connected.
func withStream(t *testing.T, cfg Config, f func(*replication.Stream)) {
	t.Helper()
	stream := replication.NewStream(replication.Config{
		ConnConfig: func() (*pgconn.Config, error) { return cfg.ConnConfig.Copy(), nil },
		Slot:       cfg.Slot, Publication: cfg.Publication, Schema: cfg.Schema, Table: cfg.Table,
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, errors.New("no stream within 30 s"))
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		err := stream.Run(ctx)
		if err != nil {
			cancel()
		}
		ended <- err
	}()
	_, err := stream.Origin(ctx)
	if err == nil {
		f(stream)
	}
	cancel()
	if runErr := <-ended; runErr != nil || err != nil {
		t.Errorf("the stream: %v, %v", runErr, err)
	}
}

// checkError wants an error of class, or of none for nil, whose text has every one of words.
func checkError(t *testing.T, err, class error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, c := range []error{replication.ErrConfig, replication.ErrSetup, replication.ErrEvidence} {
		if is := errors.Is(err, c); is != errors.Is(class, c) {
			t.Errorf("is of class %v: %v; the error: %v", c, is, err)
		}
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// checkSaid wants every one of words in a text that is wrapped.
func checkSaid(t *testing.T, text string, words ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(strings.ReplaceAll(text, "\n--", "\n")), " ")
	for _, word := range words {
		if !strings.Contains(flat, word) {
			t.Errorf("no %q in:\n%s", word, text)
		}
	}
}

const seedTable = "CREATE TABLE audit (id int PRIMARY KEY, note text);"

func published(t *testing.T, conn *pgconn.PgConn, publication string) string {
	t.Helper()
	return ask(t, conn, fmt.Sprintf(`SELECT concat_ws(' ', CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
		CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END) FROM pg_publication WHERE pubname = '%s'`, publication))
}
