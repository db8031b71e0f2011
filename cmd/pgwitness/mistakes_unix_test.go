//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"pgwitness/internal/embeddedpg"
)

// Those of which the database has a part.
func TestSetupMistakes(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"max_replication_slots": "100", "max_wal_senders": "50"})
	ca := s.enableTLS(t)
	s.prepend(t, "pg_hba.conf", "host all barred all reject\n")
	s.exec(t, "postgres", "CREATE DATABASE closed", "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
		"CREATE DATABASE twin",
		"CREATE DATABASE shut ALLOW_CONNECTIONS false",
		"CREATE ROLE barred LOGIN REPLICATION PASSWORD '"+password+"'", "CREATE ROLE plain LOGIN PASSWORD '"+password+"'",
		"CREATE ROLE nologin PASSWORD '"+password+"'", "SELECT pg_reload_conf()")
	s.exec(t, "twin", "CREATE TABLE twin (id serial PRIMARY KEY)", "CREATE PUBLICATION twin FOR TABLE twin")
	for i, m := range setupMistakes(t, ca) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, fmt.Sprintf("case_%d", i), m)
		})
	}
}

func setupMistakes(t *testing.T, ca string) []mistake {
	t.Helper()
	dsn := func(text string) []string {
		return []string{"PGWITNESS_SOURCE_DSN=" + text}
	}
	sinks := func(text string) []string {
		return []string{"PGWITNESS_SINKS=" + text}
	}
	as := func(role, database string) []string {
		return dsn("postgres://" + role + ":{password}@{address}/" + database + "?sslmode=disable")
	}
	// What an earlier run left in state_dir, and beside the file.
	mark := func(system string, timeline int, slot, confirmed string) map[string]string {
		return map[string]string{"state/{name}.checkpoint.json": fmt.Sprintf(`{"system_id": %q, "timeline": %d,
			"database": "shop", "slot": %q, "publication": "1/1", "confirmed_lsn": %q}`, system, timeline, slot, confirmed)}
	}
	origin := func(system, slot string) string {
		return fmt.Sprintf(`{"system_id": %q, "timeline": 1, "database": "shop", "slot": %q}`, system, slot)
	}
	const drop = "SELECT pg_drop_replication_slot('{name}')"
	return []mistake{
		// The connection.
		{name: "wrong password", env: dsn("postgres://witness:x{password}@{address}/shop?sslmode=disable"),
			want: []string{`password authentication failed for user "witness"`, "check the user, the password"}},
		{name: "unknown role", env: as("nobody", "shop"),
			want: []string{`user "nobody"`, "check the user, the password"}},
		{name: "role without LOGIN", env: as("nologin", "shop"),
			want: []string{`role "nologin" is not permitted to log in`, "check the user"}},
		{name: "unknown database", env: as("witness", "shpo"),
			want: []string{`database "shpo" does not exist`, "the database of source.dsn"}},
		{name: "database that takes no connections",
			env: as("witness", "shut"), code: exitSetup,
			want: []string{`database "shut" is not currently accepting connections`, "ALLOW_CONNECTIONS true"}},
		{name: "misspelled keyword", env: dsn("host=127.0.0.1 port={port} user=witness dbname=shop pasword={password}"),
			want: []string{`unrecognized configuration parameter "pasword"`, "check the keywords of source.dsn and PGOPTIONS"}},
		{name: "misspelled option", env: []string{"PGOPTIONS=-c statement_timeout=soon"},
			want: []string{`invalid value for parameter "statement_timeout"`, "check the keywords of source.dsn and PGOPTIONS"}},
		{name: "another authentication", env: []string{"PGREQUIREAUTH=scram-sha-256"},
			want: []string{"require_auth check failed", "change require_auth or channel_binding of source.dsn"}},
		{name: "no channel binding", env: []string{"PGCHANNELBINDING=require"},
			want: []string{"channel binding check failed", "change require_auth or channel_binding of source.dsn"}},
		{name: "init with a misspelled keyword", args: "init", env: dsn("host=127.0.0.1 port={port} user=witness dbname=shop slmode=disable"),
			want: []string{`unrecognized configuration parameter "slmode"`, "check the keywords of source.dsn and PGOPTIONS"}},
		{name: "role without REPLICATION", env: as("plain", "shop"),
			code: exitSetup, want: []string{"the role needs LOGIN REPLICATION", "pgwitness init"}},
		{name: "role without CONNECT", env: as("witness", "closed"),
			code: exitSetup,
			want: []string{`permission denied for database "closed"`, "CONNECT on the database", "pgwitness init"}},
		{name: "rejected by pg_hba.conf", env: as("barred", "shop"),
			want: []string{"pg_hba.conf rejects", `user "barred"`, "check the user"}},
		{name: "certificate of an unknown authority",
			env:   dsn("host=127.0.0.1 port={port} user=witness dbname=shop sslmode=verify-ca sslrootcert={dir}/ca.pem"),
			files: map[string]string{"ca.pem": certificate(t, "other").pem},
			want:  []string{"certificate signed by unknown authority", "check sslmode and sslrootcert of source.dsn"}},
		{name: "certificate of another host",
			env:   dsn("host=localhost port={port} user=witness dbname=shop sslmode=verify-full sslrootcert={dir}/ca.pem"),
			files: map[string]string{"ca.pem": ca},
			want:  []string{"certificate is valid for db.example.com, not localhost", "check sslmode and sslrootcert of source.dsn"}},
		{name: "init with a wrong password", args: "init",
			env:  dsn("postgres://witness:x{password}@{address}/shop?sslmode=disable"),
			want: []string{`password authentication failed for user "witness"`, "check the user, the password"}},
		{name: "init without the rights", args: "init --apply",
			env: as("plain", "shop"), sql: []string{drop}, code: exitSetup,
			want: []string{"user plain may not do all of this", "connect as a superuser"}},
		{name: "demo without the rights", args: "demo --dsn postgres://plain@{address}/postgres", code: exitSetup,
			want: []string{"the user of --dsn may not make databases, roles and slots", "connect as a superuser"}},
		{name: "demo with a wrong password", args: "demo --dsn postgres://plain@{address}/postgres",
			env: []string{"PGPASSWORD=x{password}"}, want: []string{`password authentication failed for user "plain"`}},
		{name: "init of a missing table", args: "init",
			env:  append(as("witness", "shop"), "PGWITNESS_SOURCE_TABLE=public.{name}x"),
			code: exitSetup,
			want: []string{"table public.{name}x does not exist in database shop", "did you mean public.{name}?", "--table"}},
		{name: "init beside another slot", args: "init",
			sql: []string{drop, "SELECT pg_create_physical_replication_slot('{name}')"}, code: exitSetup,
			want: []string{"slot {name} is there already", "choose another name with --slot"}},

		// The table.
		{name: "table missing", sql: []string{"DROP TABLE {name}"}, code: exitSetup,
			want: []string{"table public.{name} does not exist in database shop", "source.table"}},
		{name: "table of another schema", env: []string{"PGWITNESS_SOURCE_TABLE=audit.{name}"}, code: exitSetup,
			want: []string{"table audit.{name} does not exist in database shop", "source.table"}},
		{name: "table is a view", sql: []string{"DROP TABLE {name}", "CREATE VIEW {name} AS SELECT 1 AS id"},
			code: exitSetup, want: []string{"public.{name} is not a table", "source.table"}},
		{name: "table unlogged", sql: []string{"DROP TABLE {name}", "CREATE UNLOGGED TABLE {name} (id serial PRIMARY KEY)"},
			code: exitSetup, want: []string{"public.{name} is unlogged or temporary", "ALTER TABLE public.{name} SET LOGGED"}},
		{name: "table with children", sql: []string{"CREATE TABLE {name}_child () INHERITS ({name})"}, code: exitSetup,
			want: []string{"public.{name} has children by inheritance", "use declarative partitioning"}},

		// The publication.
		{name: "publication missing", sql: []string{"DROP PUBLICATION {name}"}, code: exitSetup,
			want: []string{"publication {name} does not exist in database shop", "`pgwitness init --apply`"}},
		{name: "publication without the table", sql: []string{"ALTER PUBLICATION {name} DROP TABLE {name}"}, code: exitSetup,
			want: []string{"publication {name} does not contain public.{name}", "ADD TABLE public.{name}"}},
		{name: "publication without inserts", sql: []string{"ALTER PUBLICATION {name} SET (publish = 'update, delete')"},
			code: exitSetup,
			want: []string{"publication {name} does not publish inserts", "SET (publish = 'insert, truncate')"}},
		{name: "publication with a row filter", sql: []string{"ALTER PUBLICATION {name} SET TABLE {name} WHERE (id > 10)"},
			code: exitSetup, want: []string{"publication {name} leaves out rows or columns of public.{name}", "WHERE clause"}},
		{name: "publication with a column list", sql: []string{"ALTER PUBLICATION {name} SET TABLE {name} (id)"},
			code: exitSetup, want: []string{"publication {name} leaves out rows or columns of public.{name}", "column list"}},
		{name: "publication of the partitions",
			sql: []string{"DROP TABLE {name}", "CREATE TABLE {name} (id int PRIMARY KEY) PARTITION BY RANGE (id)",
				"ALTER PUBLICATION {name} ADD TABLE {name}"},
			code: exitSetup,
			want: []string{"publication {name} names the partitions of public.{name}", "publish_via_partition_root = true"}},

		// The slot.
		{name: "slot missing", sql: []string{drop}, code: exitSetup,
			want: []string{"replication slot {name} does not exist", "`pgwitness init --apply`"}},
		{name: "slot physical", sql: []string{drop, "SELECT pg_create_physical_replication_slot('{name}')"}, code: exitSetup,
			want: []string{"slot {name} is a physical slot", "choose another name in source.slot"}},
		{name: "slot of another plugin",
			sql: []string{drop, "SELECT pg_create_logical_replication_slot('{name}', 'test_decoding')"}, code: exitSetup,
			want: []string{`slot {name} is a logical slot with plugin "test_decoding"`, "choose another name in source.slot"}},
		{name: "slot of another database",
			env:  append(as("witness", "twin"), "PGWITNESS_SOURCE_TABLE=public.twin", "PGWITNESS_SOURCE_PUBLICATION=twin"),
			code: exitSetup,
			want: []string{"slot {name} belongs to database shop, and source.dsn names twin: change source.dsn or source.slot"}},
		{name: "slot two-phase",
			sql:  []string{drop, "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput', false, true)"},
			code: exitSetup, want: []string{"slot {name} is temporary or two-phase", "choose another name in source.slot"}},
		{name: "publication younger than the slot",
			sql: []string{"DROP PUBLICATION {name}", drop, "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')",
				"INSERT INTO {name} (event_type) VALUES ('INSERT')", "CREATE PUBLICATION {name} FOR TABLE {name}"},
			code: exitSetup,
			want: []string{`publication "{name}" does not exist`, "the publication must be older than the slot", "pgwitness init --apply"}},

		// What an earlier run left, and the slot is not what it was.
		{name: "slot gone",
			files: mark("{system}", 1, "{name}", "0/1"),
			sql:   []string{drop}, code: exitEvidence,
			want: []string{"replication slot {name} does not exist", "before: rows after 0/1 may have been lost"}},
		{name: "publication gone",
			files: mark("{system}", 1, "{name}", "0/1"),
			sql:   []string{"DROP PUBLICATION {name}"}, code: exitEvidence,
			want: []string{"publication {name} does not exist", "before: rows after 0/1 may have been lost"}},
		{name: "another cluster",
			files: mark("7", 1, "{name}", "0/1"),
			code:  exitEvidence,
			want:  []string{"the server is another cluster (system identifier {system})", "(7)", "move the checkpoint in state_dir away"}},
		{name: "another timeline",
			files: mark("{system}", 3, "{name}", "0/1"),
			code:  exitEvidence,
			want:  []string{"the server is on timeline 1, which does not descend from timeline 3, on which it was followed until 0/1", "move the checkpoint in state_dir away"}},
		{name: "another slot",
			files: mark("{system}", 1, "other", "0/1"),
			code:  exitEvidence,
			want:  []string{"the checkpoint in state_dir belongs to slot other of database shop", "give each its own state_dir"}},
		{name: "slot moved",
			files: mark("{system}", 1, "{name}", "0/1"),
			code:  exitEvidence, want: []string{"slot {name} stands at", "past 0/1", "move the checkpoint in state_dir away"}},
		{name: "server restored",
			files: mark("{system}", 1, "{name}", "FF/0"),
			code:  exitEvidence,
			want:  []string{"the server's WAL ends at", "before FF/0", "restored", "move the checkpoint in state_dir away"}},

		// The file.
		{name: "file in a missing directory", env: sinks("[{type: file, path: {dir}/audit/audit.jsonl}]"),
			want: []string{"sink file", "{dir}/audit/audit.jsonl", "create the directory {dir}/audit"}},
		{name: "file is a directory", files: map[string]string{"audit.jsonl/": ""},
			want: []string{"sink file", "{dir}/audit.jsonl is not a regular file but a directory", "configure the path of a file"}},
		{name: "file is a link", spoil: []func(*testing.T, *exec.Cmd){link},
			want: []string{"sink file", "{dir}/audit.jsonl is not a regular file but a symbolic link", "configure the path of a file"}},
		{name: "file is a pipe", spoil: []func(*testing.T, *exec.Cmd){pipe},
			want: []string{"sink file", "{dir}/audit.jsonl is not a regular file but a named pipe", "configure the path of a file"}},
		{name: "file of somebody else", files: map[string]string{"audit.jsonl": "{password}\n"}, code: exitEvidence,
			want: []string{"sink file", "{dir}/audit.jsonl is not empty", "{dir}/audit.jsonl.origin", "move the file away"}},
		{name: "file of another slot",
			files: map[string]string{"audit.jsonl.origin": origin("{system}", "other")},
			code:  exitEvidence,
			want: []string{"sink file", "{dir}/audit.jsonl", "it holds events of slot other of database shop",
				"this is slot {name}", "configure another path"}},
		{name: "file of another cluster",
			files: map[string]string{"audit.jsonl.origin": origin("7", "{name}")},
			code:  exitEvidence,
			want: []string{"sink file", "{dir}/audit.jsonl", "it holds events of slot {name} of database shop on cluster 7",
				"configure another path"}},
		{name: "file's origin damaged", files: map[string]string{"audit.jsonl.origin": `{`}, code: exitEvidence,
			want: []string{"sink file", "{dir}/audit.jsonl.origin cannot be read", "restore it, or move it and audit.jsonl away"}},
		{name: "file of other lines",
			files: map[string]string{"audit.jsonl": "{\"a\": 1}\n", "audit.jsonl.origin": origin("{system}", "{name}")},
			code:  exitEvidence,
			want:  []string{"sink file", "{dir}/audit.jsonl", "the last line is no audit event", "move the file away"}},
		{name: "nobody reads standard output", env: sinks("[{type: stdout}]"),
			spoil: []func(*testing.T, *exec.Cmd){closeReader}, code: exitFailed,
			want: []string{"sink stdout", "standard output was closed by its reader"}},
		{name: "file of text",
			files: map[string]string{"audit.jsonl": "{password}\n", "audit.jsonl.origin": origin("{system}", "{name}")},
			code:  exitEvidence,
			want:  []string{"sink file", "{dir}/audit.jsonl is not a file of audit events", "move it away"}},
	}
}

// Those of the rights to files. They are made for a user who is not root, whoever runs the test.
func TestPermissionMistakes(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	closed := func(name string) []func(*testing.T, *exec.Cmd) {
		return []func(*testing.T, *exec.Cmd){unprivileged, func(t *testing.T, cmd *exec.Cmd) {
			found, err := filepath.Glob(filepath.Join(cmd.Dir, name))
			if err != nil || len(found) != 1 {
				t.Fatalf("%s: %v, %v", name, found, err)
			}
			if err := os.Chmod(found[0], 0); err != nil {
				t.Fatal(err)
			}
		}}
	}
	for i, m := range []mistake{
		{name: "configuration", files: map[string]string{"pgwitness.yaml": ""}, spoil: closed("pgwitness.yaml"),
			want: []string{"configuration file: open {dir}/pgwitness.yaml: permission denied"}},
		{name: "password_file", env: []string{"PGWITNESS_SOURCE_PASSWORD_FILE={dir}/password"},
			files: map[string]string{"password": "{password}"}, spoil: closed("password"),
			want: []string{"PGWITNESS_SOURCE_PASSWORD_FILE: source.password_file: cannot read the file: permission denied"}},
		{name: "state_dir", files: map[string]string{"state/": ""}, spoil: closed("state"),
			want: []string{"state_dir {dir}/state cannot be written", "permission denied",
				"make it writable for this user, or name another one"}},
		{name: "state_dir's parent", args: "run --state-dir {dir}/var/pgwitness", files: map[string]string{"var/": ""},
			spoil: closed("var"),
			want: []string{"state_dir {dir}/var/pgwitness cannot be made", "permission denied",
				"make it, writable for this user, or name another one"}},
		{name: "checkpoint", files: map[string]string{"state/{name}.checkpoint.json": "{}"},
			spoil: closed("state/*.checkpoint.json"), code: exitEvidence,
			want: []string{"{dir}/state/{name}.checkpoint.json: permission denied", "make it a file that this user may read and write"}},
		{name: "file's directory", env: []string{"PGWITNESS_SINKS=[{type: file, path: {dir}/audit/audit.jsonl}]"},
			files: map[string]string{"audit/": ""}, spoil: closed("audit"),
			want: []string{"sink file", "permission denied", "let the user that pgwitness runs as write to {dir}/audit"}},
		{name: "file", files: map[string]string{"audit.jsonl": ""}, spoil: closed("audit.jsonl"),
			want: []string{"sink file", "open {dir}/audit.jsonl: permission denied",
				"let the user that pgwitness runs as write to {dir} and to the files in it"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, fmt.Sprintf("case_%d", i), m)
		})
	}
}

// unprivileged runs a command as a user that may not write everywhere, as root may.
func unprivileged(t *testing.T, cmd *exec.Cmd) {
	if os.Geteuid() != 0 {
		return
	}
	open := func(path string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Chmod(path, 0o777)) }
	if err := errors.Join(os.Chmod(filepath.Dir(cmd.Dir), 0o755), filepath.WalkDir(cmd.Dir, open)); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	if runtime.GOOS == "linux" {
		cmd.Path = "/proc/self/exe" // go test puts the binary below a directory that root alone can enter
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// link makes a symbolic link of what the file sink is to write.
func link(t *testing.T, cmd *exec.Cmd) {
	if err := os.Symlink("elsewhere.jsonl", filepath.Join(cmd.Dir, "audit.jsonl")); err != nil {
		t.Fatal(err)
	}
}

// pipe makes a pipe of it, which would take events and keep none.
func pipe(t *testing.T, cmd *exec.Cmd) {
	if err := syscall.Mkfifo(filepath.Join(cmd.Dir, "audit.jsonl"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// closeReader makes standard output a pipe that nobody reads any more.
func closeReader(t *testing.T, cmd *exec.Cmd) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	cmd.Stdout = writer
}

// Those that take a server of another kind: one that has invalidated the slot, has no TLS, has not the WAL for logical
// decoding, or is a standby.
func TestServerMistakes(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"max_slot_wal_keep_size": "1MB"})
	s.run(t, "lost", mistake{
		code: exitEvidence,
		want: []string{"slot lost was invalidated", "rows after",
			"drop the slot, run `pgwitness init --apply`, and take what is missing from the table"},
		sql: []string{"SELECT pg_switch_wal()", "INSERT INTO lost DEFAULT VALUES", "SELECT pg_switch_wal()",
			"INSERT INTO lost DEFAULT VALUES", "CHECKPOINT"},
	})
	s.check(t, "lost", t.TempDir(), mistake{args: "init", code: exitEvidence,
		want: []string{"slot lost was invalidated", "take what is missing from the table"}})
	noTLS := []string{"PGWITNESS_SOURCE_DSN=postgres://witness:{password}@{address}/shop?sslmode=require"}
	s.check(t, "lost", t.TempDir(), mistake{env: noTLS,
		want: []string{"server refused TLS connection", "change sslmode of source.dsn, or enable ssl on the server"}})
	s.check(t, "lost", t.TempDir(), mistake{args: "init", env: noTLS,
		want: []string{"server refused TLS connection", "check sslmode"}})

	restart := func() {
		t.Helper()
		if err := s.server.Restart(t.Context(), embeddedpg.Fast); err != nil {
			t.Fatal(err)
		}
	}
	s.exec(t, "shop", "SELECT pg_drop_replication_slot('lost')", "ALTER SYSTEM SET wal_level = replica")
	restart()
	for _, args := range []string{"run", "init", "demo --dsn postgres://witness@{address}/shop"} {
		s.check(t, "lost", t.TempDir(), mistake{args: args, code: exitSetup,
			want: []string{"wal_level is replica", "restart the server"}})
	}

	s.write(t, "standby.signal", "")
	restart()
	for _, args := range []string{"run", "init"} {
		s.check(t, "lost", t.TempDir(), mistake{args: args, code: exitSetup,
			want: []string{"the server is a standby", "connect to", "primary"}})
	}
}
