//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
)

// site is a server with the database shop.
type site struct {
	server *embeddedpg.Server
	system string // its identifier
}

func newSite(t *testing.T, settings map[string]string) *site {
	t.Helper()
	s := &site{server: pgtest.Start(t, embeddedpg.Config{Settings: settings})}
	s.exec(t, "postgres", "CREATE DATABASE shop",
		"CREATE ROLE witness LOGIN REPLICATION PASSWORD '"+password+"'")
	s.system = s.query(t, "SELECT system_identifier::text FROM pg_control_system()")
	return s
}

func (s *site) connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.server.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (s *site) exec(t *testing.T, database string, sql ...string) {
	t.Helper()
	conn := s.connect(t, database)
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, statement := range sql {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func (s *site) query(t *testing.T, sql string, args ...any) string {
	t.Helper()
	conn := s.connect(t, "shop")
	defer conn.Close(context.WithoutCancel(t.Context()))
	var text string
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// fill fills in what the texts of a mistake leave open.
func (s *site) fill(name, dir string) func(string) string {
	return strings.NewReplacer("{name}", name, "{dir}", dir, "{password}", password, "{system}", s.system,
		"{address}", "127.0.0.1:"+strconv.Itoa(s.server.Port()), "{port}", strconv.Itoa(s.server.Port())).Replace
}

// environment is that of a run without a mistake.
var environment = []string{
	"PGWITNESS_SOURCE_DSN=postgres://witness:{password}@{address}/shop?sslmode=disable", "PGWITNESS_SOURCE_TABLE=public.{name}",
	"PGWITNESS_SOURCE_SLOT={name}", "PGWITNESS_SOURCE_PUBLICATION={name}", "PGWITNESS_SINKS=[{type: file, path: {dir}/audit.jsonl}]",
}

// prepare makes what it needs in the database, and a row that waits in the slot.
func (s *site) prepare(t *testing.T, name string) {
	t.Helper()
	s.exec(t, "shop",
		"CREATE TABLE "+name+" (id serial PRIMARY KEY, event_type text)",
		"CREATE PUBLICATION "+name+" FOR TABLE "+name,
		"SELECT pg_create_logical_replication_slot('"+name+"', 'pgoutput')",
		"INSERT INTO "+name+" (event_type) VALUES ('INSERT')")
}

// confirmed is how far the slot is confirmed, "" if there is none.
func (s *site) confirmed(t *testing.T, slot string) string {
	t.Helper()
	return s.query(t, "SELECT coalesce((SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1), '')", slot)
}

// run makes m and runs it to its end.
func (s *site) run(t *testing.T, name string, m mistake) {
	t.Helper()
	dir := t.TempDir()
	fill := s.fill(name, dir)
	s.prepare(t, name)
	for _, sql := range m.sql {
		s.exec(t, "shop", fill(sql))
	}
	s.check(t, name, dir, m)
}

// check is run after the database has its part of m.
func (s *site) check(t *testing.T, name, dir string, m mistake) {
	t.Helper()
	m.env = append(slices.Clone(environment), m.env...)
	before := s.confirmed(t, name)
	m.run(t, dir, s.fill(name, dir))
	if after := s.confirmed(t, name); after != before {
		t.Errorf("the slot is confirmed up to %s, before it was %s", after, before)
	}
}

// Without a mistake the same run delivers the row and confirms it.
func TestNoMistake(t *testing.T) {
	t.Parallel()
	s, dir := newSite(t, nil), t.TempDir()
	s.prepare(t, "none")
	before := s.confirmed(t, "none")
	m := mistake{args: "run --endpos " + s.query(t, "SELECT pg_current_wal_lsn()::text"), env: environment}
	if output, err := m.prepare(t.Context(), t, dir, s.fill("none", dir)).CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, output)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "audit.jsonl")); err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("the file holds (%v):\n%s", err, text)
	}
	if after := s.confirmed(t, "none"); after == before {
		t.Errorf("the slot is still confirmed up to %s", after)
	}
}

// enableTLS gives the server a certificate of its own, which it returns.
func (s *site) enableTLS(t *testing.T) string {
	t.Helper()
	c := certificate(t, "db.example.com")
	s.write(t, "server.crt", c.pem)
	s.write(t, "server.key", c.key)
	s.exec(t, "postgres", "ALTER SYSTEM SET ssl = on")
	return c.pem
}

// write writes a file into the data directory for the user that the server runs under.
func (s *site) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(s.server.DataDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.server.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
}

func (s *site) prepend(t *testing.T, name, line string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.server.DataDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, name, line+string(content))
}
