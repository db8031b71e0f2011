package embeddedpg_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
)

// programEnv makes the test binary one of programs.
const programEnv = "EMBEDDEDPG_TEST_PROGRAM"

var programs = map[string]func(){
	"forgetful": runForgetful,
	"parent":    runParent,
}

func TestMain(m *testing.M) {
	if run, ok := programs[os.Getenv(programEnv)]; ok {
		run()
		return
	}
	pgtest.Main(m)
}

func TestStart(t *testing.T) {
	for _, version := range embeddedpg.Versions() {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			server, err := embeddedpg.Start(t.Context(), embeddedpg.Config{
				Version:  version,
				Settings: map[string]string{"application_name": `it's a \ slash`},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()

			conn := connect(t, server)
			for setting, want := range map[string]string{
				"wal_level":        "logical",
				"fsync":            "off",
				"listen_addresses": "127.0.0.1",
				"application_name": `it's a \ slash`,
				"data_directory":   server.DataDir(),
			} {
				if got := queryText(t, conn, "SHOW "+setting); got != want {
					t.Errorf("%s = %q, want %q", setting, got, want)
				}
			}
			if got := queryText(t, conn, "SHOW server_version"); !strings.HasPrefix(got, fmt.Sprintf("%d.", version)) {
				t.Errorf("server_version = %q, want %d", got, version)
			}
			conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
			if got := queryText(t, conn, "SELECT plugin FROM pg_replication_slots"); got != "pgoutput" {
				t.Errorf("plugin = %q, want pgoutput", got)
			}
			if err := server.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			checkGone(t, server.Port(), server.DataDir())
		})
	}
}

func TestStartGivesEachClusterItsIdentifier(t *testing.T) {
	t.Parallel()
	const query = "SELECT system_identifier::text FROM pg_control_system()"
	first := queryText(t, connect(t, pgtest.Start(t, embeddedpg.Config{})), query)
	second := queryText(t, connect(t, pgtest.Start(t, embeddedpg.Config{})), query)
	if first == second {
		t.Errorf("both clusters have the identifier %s", first)
	}
}

func TestStartFailure(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  embeddedpg.Config
		want string
	}{
		{"version", embeddedpg.Config{Version: 13}, "choose one of [14 15 16 17 18]"},
		{"setting", embeddedpg.Config{Settings: map[string]string{"shared_buffers": "lots"}},
			`invalid value for parameter "shared_buffers": "lots"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, err := embeddedpg.Start(t.Context(), test.cfg)
			if err == nil {
				server.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not say %q", err, test.want)
			}
		})
	}
}

func TestStopAndStart(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(context.Context, *embeddedpg.Server) error
	}{
		{"smart", func(ctx context.Context, s *embeddedpg.Server) error { return s.Stop(ctx, embeddedpg.Smart) }},
		{"fast", func(ctx context.Context, s *embeddedpg.Server) error { return s.Stop(ctx, embeddedpg.Fast) }},
		{"immediate", func(ctx context.Context, s *embeddedpg.Server) error { return s.Stop(ctx, embeddedpg.Immediate) }},
		{"kill", func(ctx context.Context, s *embeddedpg.Server) error { return s.Kill(ctx) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Start(t, embeddedpg.Config{})
			conn := connect(t, server)
			if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'row' AS what"); err != nil {
				t.Fatal(err)
			}
			if test.name == "smart" {
				conn.Close(t.Context())
			}

			port := server.Port()
			if err := test.stop(t.Context(), server); err != nil {
				t.Fatal(err)
			}
			if err := dial(port); err == nil {
				t.Error("the server still listens after its stop")
			}
			if err := server.Stop(t.Context(), embeddedpg.Fast); err != nil {
				t.Errorf("stop of a stopped server: %v", err)
			}
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if server.Port() != port {
				t.Errorf("the port changed from %d to %d", port, server.Port())
			}
			if got := queryText(t, connect(t, server), "SELECT what FROM kept"); got != "row" {
				t.Errorf("table holds %q, want row", got)
			}
			if err := server.Start(t.Context()); err == nil {
				t.Error("no error from a start of a running server")
			}
		})
	}
}

// TestKillWaitsForBackends kills the server while a backend is too busy to notice. As long as that holds the shared
// memory, no start succeeds.
func TestKillWaitsForBackends(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, embeddedpg.Config{})
	busy, observer := connect(t, server), connect(t, server)
	ended := make(chan error, 1)
	go func() {
		_, err := busy.Exec(t.Context(), "DO $$ BEGIN WHILE clock_timestamp() < now() + interval '1 s' LOOP END LOOP; END $$")
		ended <- err
	}()
	waitFor(t, "the backend to be busy", func() bool {
		return queryText(t, observer, "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO%'") == "1"
	})
	if err := server.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestStopIsHastened(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, embeddedpg.Config{})
	connect(t, server)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := server.Stop(ctx, embeddedpg.Smart); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("smart stop with a client: %v, want it to wait", err)
	}
	if err := server.Restart(t.Context(), embeddedpg.Fast); err != nil {
		t.Fatal(err)
	}
	connect(t, server)
}

// runForgetful is a program that starts a server without having called RunChild.
func runForgetful() {
	server, err := embeddedpg.Start(context.Background(), embeddedpg.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	server.Close()
}

// TestStartWithoutRunChild checks that a program which forgets RunChild is told so instead of starting itself for ever.
func TestStartWithoutRunChild(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := exec.Command(self)
	program.Env = append(os.Environ(), programEnv+"=forgetful")
	output, err := program.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(output), "does main call that first?") {
		t.Errorf("the error does not tell what is missing: %s", output)
	}
}

func TestUseAfterClose(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, embeddedpg.Config{})
	if err := errors.Join(server.Close(), server.Close()); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("start after close: %v, want an error", err)
	}
}

func connect(t *testing.T, server *embeddedpg.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func queryText(t *testing.T, conn *pgx.Conn, query string) string {
	t.Helper()
	var text string
	if err := conn.QueryRow(t.Context(), query).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

func dial(port int) error {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

// checkGone checks that neither a listener nor the directory around dataDir is left.
func checkGone(t *testing.T, port int, dataDir string) {
	t.Helper()
	if err := dial(port); err == nil {
		t.Errorf("something still listens on port %d", port)
	}
	if _, err := os.Stat(filepath.Dir(dataDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", filepath.Dir(dataDir), err)
	}
}
