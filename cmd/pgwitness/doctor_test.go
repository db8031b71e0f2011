package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/doctor"
	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/scripts"
)

// The exit code says what kind of thing is to be mended, from an empty database to a sound one.
func TestDoctorExitCodes(t *testing.T) {
	server := pgtest.Start(t, embeddedpg.Config{})
	dsn := server.DSN("postgres")
	exec := func(sql string) {
		t.Helper()
		conn, err := pgconn.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(t.Context()))
		if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s\n%v", sql, err)
		}
	}
	t.Setenv("PGWITNESS_SOURCE_DSN", dsn)
	pgwitness := func(args ...string) (code int, stdout, stderr string) {
		var out, errOut bytes.Buffer
		code = execute(t.Context(), newRootCommand(), args, &out, &errOut)
		return code, out.String(), errOut.String()
	}

	code, stdout, stderr := pgwitness("doctor")
	if code != exitSetup || !strings.Contains(stdout, "table public.custom_audit_log does not exist") ||
		stderr != "pgwitness: run cannot start: problems of the set-up in database postgres: 1\n" {
		t.Errorf("an empty database: exit code %d, standard error %s, standard output:\n%s", code, stderr, stdout)
	}

	exec("CREATE TABLE your_table (id int PRIMARY KEY, column_name text);" + scripts.Seed)
	if code, _, stderr := pgwitness("init", "--apply"); code != exitDone {
		t.Fatalf("init: %d, %s", code, stderr)
	}
	code, stdout, stderr = pgwitness("doctor", "--json")
	var report doctor.Report
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&report); err != nil {
		t.Fatalf("%v:\n%s", err, stdout)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Errorf("after the JSON object: %v", err)
	}
	if code != exitDifferences || report.Summary.Problems == 0 || report.Version == "" ||
		!strings.HasPrefix(stderr, "pgwitness: problems found in database postgres: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("the seed: exit code %d, %+v, standard error %s", code, report, stderr)
	}
	for _, key := range []string{"version", "database", "server", "role", "checks", "summary", "id", "area", "status", "finding", "why", "fix"} {
		if !strings.Contains(stdout, "\""+key+"\": ") {
			t.Errorf("no key %s in\n%s", key, stdout)
		}
	}

	exec("DROP TABLE your_table, custom_audit_log; BEGIN; " + scripts.Capture + scripts.Install +
		"COMMIT; ALTER PUBLICATION pgwitness ADD TABLE custom_audit_log; ALTER PUBLICATION pgwitness SET (publish_via_partition_root = true); " +
		"CREATE TABLE orders (id int PRIMARY KEY)")
	if code, _, stderr := pgwitness("audit", "attach", "public.orders", "--apply"); code != exitDone {
		t.Fatalf("attach: %d, %s", code, stderr)
	}
	if code, stdout, stderr := pgwitness("doctor"); code != exitDone || stderr != "" || !strings.Contains(stdout, "\n0 problems, ") {
		t.Errorf("a sound database: exit code %d, standard error %s, standard output:\n%s", code, stderr, stdout)
	}
}
