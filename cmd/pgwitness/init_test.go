package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/config"
)

func TestInitMistakes(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string
	}{
		{"--role pg_witness", exitUsage, "--role: PostgreSQL reserves the name pg_witness: choose another"},
		{"--role public", exitUsage, "--role: PostgreSQL reserves the name public: choose another"},
		{"--role=", exitUsage, "--role: want a name of 1 to 63 bytes"},
		{"--lock-timeout 0", exitUsage, "--lock-timeout: want at least 1ms: without an end, the slot might wait for ever"},
		{"--slot Big", exitUsage, "--slot: source.slot: want 1 to 63 of a-z, 0-9 and _, as PostgreSQL demands of a slot's name"},
		{"--dsn postgres://u:SECRET@h/db", exitUsage, "--dsn: holds a password"},
		{"--dsn postgres://u@127.0.0.1:1/db?sslmode=disable", exitFailed, "cannot reach the server: failed to connect to `user=u database=db`: 127.0.0.1:1 "},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			args := append([]string{"init", "--apply"}, strings.Fields(test.args)...)
			if code := execute(t.Context(), newRootCommand(), args, &stdout, &stderr); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.HasPrefix(stderr.String(), "pgwitness: "+test.want) || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("standard error\n got: %swant: %s", &stderr, test.want)
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output: %s", &stdout)
			}
		})
	}
}

// Unlike a stream that is asked to stop, an init that is interrupted has not done its work.
func TestInitInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	args := []string{"init", "--apply", "--dsn", "postgres://u@127.0.0.1:1/db"}
	if code := execute(ctx, newRootCommand(), args, &stdout, &stderr); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if want := "pgwitness: interrupted; what was made stays, and init can be run again\n"; stderr.String() != want {
		t.Errorf("standard error %q, want %q", &stderr, want)
	}
}

func TestRunLine(t *testing.T) {
	tests := []struct {
		dsn    string
		change func(*config.Source)
		role   string
		want   string
	}{
		{"postgres://admin:SECRET@db/shop?sslmode=require", nil, "pgwitness",
			"pgwitness run --dsn postgres://pgwitness@db:5432/shop --sink file:audit.jsonl"},
		{"host=a,b port=1,2 user=admin dbname=shop", nil, "pgwitness",
			"pgwitness run --dsn postgres://pgwitness@a:1,b:2/shop --sink file:audit.jsonl"},
		{"host=/run/pg user=admin", nil, "pgwitness",
			"pgwitness run --dsn 'postgres://pgwitness@/admin?host=%2Frun%2Fpg&port=5432' --sink file:audit.jsonl"},
		{"host=::1 user=admin dbname=it's", func(s *config.Source) {
			s.Table, s.Slot, s.Publication = config.Table{Schema: "Log", Name: "it's"}, "s", "p q"
		}, "We ird@",
			`pgwitness run --dsn 'postgres://We%20ird%40@[::1]:5432/it%27s' --table '"Log"."it'\''s"' --slot s --publication 'p q' --sink file:audit.jsonl`},
	}
	for _, test := range tests {
		connection, err := pgconn.ParseConfig(test.dsn)
		if err != nil {
			t.Fatal(err)
		}
		source := config.Default().Source
		if test.change != nil {
			test.change(&source)
		}
		got := runLine(connection, source, test.role)
		if got != test.want {
			t.Errorf("%s\n got: %s\nwant: %s", test.dsn, got, test.want)
		}
		dsn, _, _ := strings.Cut(strings.TrimPrefix(got, "pgwitness run --dsn "), " --")
		again, err := pgconn.ParseConfig(strings.Trim(dsn, "'"))
		if err != nil || again.Host != connection.Host || again.Port != connection.Port || again.User != test.role {
			t.Errorf("%s does not lead to the same server: %v", dsn, err)
		}
	}
}
