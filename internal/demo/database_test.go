package demo

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
)

func TestConfig(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want string // in the error; empty for none
	}{
		{"nothing given", Config{}, ""},
		{"everything", Config{For: 1, Rate: 1, Kill: true, Postgres: 14, Listen: "off"}, ""},
		{"an offered server", Config{DSN: "postgres://postgres@localhost"}, ""},
		{"negative duration", Config{For: -1}, "--for: "},
		{"negative rate", Config{Rate: -1}, "--rate: "},
		{"version not on offer", Config{Postgres: 13}, "--postgres: want one of [14 15 16 17 18]"},
		{"both servers", Config{DSN: "host=h", Postgres: 17}, "--dsn and --postgres: "},
		{"no connection string", Config{DSN: "postgres://h:SECRET"}, "--dsn: in the connection string"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.cfg.check()
			if test.want == "" && err != nil || test.want != "" && !errors.Is(err, ErrUsage) {
				t.Fatalf("error %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "SECRET")) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestWithDatabase(t *testing.T) {
	for dsn, user := range map[string]string{
		"postgres://u@h:1/db?sslmode=disable":             "u",
		"postgres://u@h:1?sslmode=disable&dbname=db":      "u",
		"postgresql://u:p%40ss@h:1/?sslmode=disable":      "u",
		"host=h port=1 user=u sslmode=disable dbname=db":  "u",
		"host=h port=1 user='u v' sslmode=disable":        "u v",
		"postgres://u%20v@h:1/d%2Fb?sslmode=disable":      "u v",
		"postgres://u@h:1/db?sslmode=disable&database=db": "u",
	} {
		changed, err := withDatabase(dsn, name)
		if err != nil {
			t.Fatalf("%s: %v", dsn, err)
		}
		cfg, err := pgx.ParseConfig(changed)
		if err != nil || cfg.Database != name || cfg.User != user || cfg.Host != "h" || cfg.Port != 1 || cfg.TLSConfig != nil {
			t.Errorf("%s became %s: error %v", dsn, changed, err)
		}
	}
}

// TestOffered makes the demo's database on real servers and removes it, with a superuser and with a user who merely has
// the rights.
func TestOffered(t *testing.T) {
	for _, version := range []int{14, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			server := pgtest.Start(t, embeddedpg.Config{Version: version})
			root := connect(t, server.DSN("postgres"))
			if _, err := root.Exec(t.Context(), "CREATE ROLE helper LOGIN CREATEDB CREATEROLE REPLICATION PASSWORD 'secret'"); err != nil {
				t.Fatal(err)
			}
			playOn(t, root, server.DSN("postgres"))
			playOn(t, root, as(root, "helper:secret"))
		})
	}
}

func playOn(t *testing.T, root *pgx.Conn, dsn string) {
	t.Helper()
	before := objects(t, root)
	db, err := openOffered(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	// This connection stays, and does not keep anything.
	conn := connect(t, db.dsn)
	if err := install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if err := awaitConsumer(t.Context(), conn, time.Millisecond); !errors.Is(err, errNoConsumer) {
		t.Errorf("without a consumer: error %v", err)
	}
	if _, err := openOffered(t.Context(), dsn); !errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), removal) {
		t.Errorf("a second demo: error %v", err)
	}
	works(t, db)
	if lag, err := awaitConfirmed(t.Context(), conn, time.Millisecond); err != nil || lag.first <= 0 || lag.last != lag.first {
		t.Errorf("without a consumer: %+v unconfirmed, error %v", lag, err)
	}
	if err := db.close(); err != nil {
		t.Error(err)
	}
	if after := objects(t, root); after != before {
		t.Errorf("there is %s\nwhere there was %s", after, before)
	}
}

// as returns the DSN of conn with another user and password.
func as(conn *pgx.Conn, userinfo string) string {
	cfg := conn.Config()
	return strings.Replace(cfg.ConnString(), cfg.User+":"+cfg.Password, userinfo, 1)
}

// works has the clerks do every task again and again, until the audit table has rows of each kind that the shop makes:
// inserts, updates and deletes in your_table and customers, no deletes in products and orders, inserts in the other two.
func works(t *testing.T, db *database) {
	t.Helper()
	s, err := hire(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := open(t.Context(), s.clerk(imports)); err != nil {
		t.Fatal(err)
	}
	conn, err := db.oracle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const wantKinds, wantUsers, rounds = 3 + 3 + 2 + 2 + 1 + 1, 4, 500
	var kinds, users int
	for round := 0; round < rounds && kinds < wantKinds; round++ {
		for _, task := range tasks {
			if err := task.do(t.Context(), s.clerk(task.role)); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.QueryRow(t.Context(), `SELECT count(DISTINCT (event_type, table_name)), count(DISTINCT user_name)
			FROM public.custom_audit_log`).Scan(&kinds, &users); err != nil {
			t.Fatal(err)
		}
	}
	if kinds != wantKinds || users != wantUsers {
		t.Errorf("%d kinds of changes by %d users, want %d by %d", kinds, users, wantKinds, wantUsers)
	}
	if s.rolledBack.Load() == 0 {
		t.Error("nothing was rolled back")
	}
}

func TestNotOffered(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, embeddedpg.Config{Settings: map[string]string{"wal_level": "replica"}})
	root := connect(t, server.DSN("postgres"))
	check := func(dsn, want string) {
		t.Helper()
		_, err := openOffered(t.Context(), dsn)
		if !errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	check(server.DSN("postgres"), "wal_level is replica")
	for _, sql := range []string{"ALTER SYSTEM SET wal_level = logical", "CREATE ROLE nobody LOGIN PASSWORD 'secret'"} {
		if _, err := root.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Restart(t.Context(), embeddedpg.Fast); err != nil {
		t.Fatal(err)
	}
	check(as(root, "nobody:secret"), "the user of --dsn may not")

	root = connect(t, server.DSN("postgres"))
	if _, err := root.Exec(t.Context(), "CREATE ROLE demo_web"); err != nil {
		t.Fatal(err)
	}
	check(server.DSN("postgres"), "role demo_web is there already")
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// objects lists what a demo could leave on a server.
func objects(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var all string
	if err := conn.QueryRow(t.Context(), `SELECT concat_ws(' ', (SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database),
		(SELECT string_agg(slot_name, ' ') FROM pg_replication_slots), (SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles))`).
		Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// A program that does not know its stage must not start itself for ever.
func TestStageStartsNoDemo(t *testing.T) {
	t.Setenv(stageEnv, "1")
	if err := Run(t.Context(), Config{}, nil, nil); err == nil || !strings.Contains(err.Error(), "RunStage") {
		t.Errorf("error %v", err)
	}
}
