package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
)

// demoProcess is a demo that runs as the real binary does, with a TMPDIR that tells its processes from all others.
type demoProcess struct {
	*exec.Cmd
	tmp    string
	stdout *os.File
	stderr *bufio.Reader
	said   strings.Builder // of standard error, as far as it was read
}

func startDemo(t *testing.T, environ []string, args ...string) *demoProcess {
	t.Helper()
	d := &demoProcess{Cmd: exec.Command(os.Args[0], append([]string{"demo"}, args...)...), tmp: t.TempDir()}
	d.Env = append(append(os.Environ(), environ...), asMain+"=1", "TMPDIR="+d.tmp)
	d.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, toStdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d.stdout, d.Stdout = stdout, toStdout
	stderr, toStderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d.stderr, d.Stderr = bufio.NewReader(stderr), toStderr
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	toStdout.Close()
	toStderr.Close()
	t.Cleanup(func() {
		d.Process.Kill()
		d.Wait()
		stdout.Close()
		d.nothingLeft(t)
		stderr.Close()
	})
	return d
}

// await reads standard error up to the line that holds text.
func (d *demoProcess) await(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := d.stderr.ReadString('\n')
		d.said.WriteString(line)
		if err != nil {
			t.Fatalf("%v before %q was said, but:\n%s", err, text, &d.said)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// end waits for the end and returns the exit code, -1 for a signal.
func (d *demoProcess) end(t *testing.T) int {
	t.Helper()
	rest, err := io.ReadAll(d.stderr)
	if err != nil {
		t.Error(err)
	}
	d.said.Write(rest)
	d.Wait() // ProcessState says it all
	return d.ProcessState.ExitCode()
}

// processes returns the ids of those that the demo consists of, its server's included, and their arguments.
func (d *demoProcess) processes(t *testing.T) map[int]string {
	t.Helper()
	found := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ")) // it may be gone, or another user's
		if bytes.Contains(environ, []byte("TMPDIR="+d.tmp+"\x00")) {
			args, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
			found[id] = string(bytes.ReplaceAll(args, []byte{0}, []byte{' '}))
		}
	}
	return found
}

// nothingLeft waits until there is no process and no directory of the demo.
func (d *demoProcess) nothingLeft(t *testing.T) {
	t.Helper()
	var processes map[int]string
	var files []os.DirEntry
	eventually(t, func() bool {
		processes = d.processes(t)
		var err error
		if files, err = os.ReadDir(d.tmp); err != nil {
			t.Fatal(err)
		}
		return len(processes)+len(files) == 0
	}, func() string { return fmt.Sprintf("the demo leaves processes %v and files %v", processes, files) })
}

// eventually polls for what other processes do, of which there is no event to wait for.
func eventually(t *testing.T, happened func() bool, otherwise func() string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !happened() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal(otherwise())
		}
	}
}

// numbers reads the summary.
func (d *demoProcess) numbers(t *testing.T) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, match := range regexp.MustCompile(`(?m)^ *([a-z]+(?: [a-z]+)*) +([0-9,]+)  `).FindAllStringSubmatch(d.said.String(), -1) {
		n, err := strconv.Atoi(strings.ReplaceAll(match[2], ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		found[match[1]] = n
	}
	return found
}

func (d *demoProcess) checkNumbers(t *testing.T) {
	t.Helper()
	n := d.numbers(t)
	if n["committed"] == 0 || n["delivered"] != n["committed"] {
		t.Errorf("%d committed, %d delivered:\n%s", n["committed"], n["delivered"], &d.said)
	}
	for _, name := range []string{"lost", "invented", "duplicates", "out of order", "lag"} {
		if count, ok := n[name]; !ok || count != 0 {
			t.Errorf("%d %s (%v):\n%s", count, name, ok, &d.said)
		}
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	// Variables that are meant for other programs, and for other consumers.
	d := startDemo(t, []string{"PGHOST=nowhere.invalid", "PGOPTIONS=-c search_path=nowhere", "PGWITNESS_SOURCE_SLOT=other", "PGWITNESS_CONFIG=/nowhere"},
		"--for", "2500ms", "--rate", "100", "--kill")
	events := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(d.stdout) // a failure shows in what is missing
		events <- all
	}()
	if code := d.end(t); code != exitDone {
		t.Errorf("exit code %d:\n%s", code, &d.said)
	}
	d.checkNumbers(t)
	n := d.numbers(t)
	if n["killed"] < 2 { // more on a machine where the 2.5 s take longer
		t.Errorf("killed %d times:\n%s", n["killed"], &d.said)
	}
	ids := map[string]bool{}
	for line := range bytes.Lines(<-events) {
		var e struct{ ID, Source, Table string }
		if err := json.Unmarshal(line, &e); err != nil || e.Source != "shop" || e.Table != "public.custom_audit_log" {
			t.Fatalf("on standard output: %s", line)
		}
		ids[e.ID] = true
	}
	if len(ids) != n["delivered"] {
		t.Errorf("%d events on standard output, %d delivered", len(ids), n["delivered"])
	}
}

func TestDemoEnds(t *testing.T) {
	const isOpen = "the shop is open"
	tests := []struct {
		name    string
		when    string // is said
		do      func(*testing.T, *demoProcess)
		code    int
		say     string
		summary bool
	}{
		// As a terminal does it: the whole group gets the signal.
		{"asked to stop", isOpen, func(_ *testing.T, d *demoProcess) { syscall.Kill(-d.Process.Pid, syscall.SIGINT) }, exitDone, "once and in order", true},
		{"asked too early", "comes from", func(_ *testing.T, d *demoProcess) { d.Process.Signal(syscall.SIGTERM) }, exitDone, "stopped before the shop was open", false},
		{"asked twice", isOpen, func(_ *testing.T, d *demoProcess) {
			d.Process.Signal(os.Interrupt)
			d.await(t, "is closed") // so that the next one is another one
			d.Process.Signal(os.Interrupt)
		}, 130, "", false},
		{"killed", isOpen, func(_ *testing.T, d *demoProcess) { d.Process.Kill() }, -1, "", false},
		{"its stage killed", isOpen, func(t *testing.T, d *demoProcess) {
			killed := 0
			for id, args := range d.processes(t) {
				if args == "pgwitness stage " {
					killed++
					syscall.Kill(id, syscall.SIGKILL)
				}
			}
			if killed != 1 {
				t.Errorf("%d stages among %v", killed, d.processes(t))
			}
		}, exitFailed, "pgwitness: the demo's stage was killed", false},
		{"nobody reads", isOpen, func(_ *testing.T, d *demoProcess) { d.stdout.Close() }, exitDone, "once and in order", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t, nil, "--rate", "0")
			d.await(t, test.when)
			if test.name != "nobody reads" {
				go io.Copy(io.Discard, d.stdout)
			}
			test.do(t, d)
			if code := d.end(t); code != test.code || !strings.Contains(d.said.String(), test.say) {
				t.Errorf("exit code %d, want %d:\n%s", code, test.code, &d.said)
			}
			if test.summary {
				d.checkNumbers(t)
			}
		})
	}
}

// TestDemoBlockedReader kills a demo that cannot get rid of its events.
func TestDemoBlockedReader(t *testing.T) {
	t.Parallel()
	d := startDemo(t, nil, "--rate", "0", "--for", "1s")
	d.await(t, "is closed")
	d.Process.Kill()
	d.end(t)
	d.nothingLeft(t)
}

func TestDemoOffered(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, embeddedpg.Config{})
	cfg, err := pgx.ParseConfig(server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"PGPASSWORD=" + cfg.Password}
	dsn := fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=postgres sslmode=disable", cfg.Port, cfg.User)
	root, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close(context.Background()) })
	nothingLeft := func() {
		t.Helper()
		eventually(t, func() bool {
			var left int
			if err := root.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_database
				WHERE datname = 'pgwitness_demo') + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'demo%')`).Scan(&left); err != nil {
				t.Fatal(err)
			}
			return left == 0
		}, func() string { return "the demo leaves a slot, a database or a role" })
	}
	exec := func(database, sql string) (rows int64) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), server.DSN(database))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		result, err := conn.Exec(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		return result.RowsAffected()
	}

	d := startDemo(t, environ, "--dsn", dsn, "--for", "500ms")
	go io.Copy(io.Discard, d.stdout)
	if code := d.end(t); code != exitDone {
		t.Errorf("exit code %d:\n%s", code, &d.said)
	}
	d.checkNumbers(t)
	nothingLeft()

	// Killed, it clears up all the same.
	d = startDemo(t, environ, "--dsn", dsn)
	go io.Copy(io.Discard, d.stdout)
	d.await(t, "is open")
	d.Process.Kill()
	d.end(t)
	nothingLeft()

	// A demo that always says that all is well would be worth nothing.
	d = startDemo(t, environ, "--dsn", dsn)
	go io.Copy(io.Discard, d.stdout)
	d.await(t, "is open")
	const deleteOne = "DELETE FROM custom_audit_log WHERE id = (SELECT min(id) FROM custom_audit_log)"
	eventually(t, func() bool { return exec("pgwitness_demo", deleteOne) == 1 }, func() string { return "the audit table stays empty" })
	d.Process.Signal(syscall.SIGTERM)
	if code := d.end(t); code != exitDifferences || d.numbers(t)["invented"] != 1 || d.numbers(t)["tampering"] != 1 {
		t.Errorf("exit code %d:\n%s", code, &d.said)
	}
	nothingLeft()

	// The consumer's own end is the demo's, with what it said.
	d = startDemo(t, environ, "--dsn", dsn)
	go io.Copy(io.Discard, d.stdout)
	d.await(t, "is open")
	exec("pgwitness_demo", "DROP PUBLICATION pgwitness_demo")
	code := d.end(t)
	if want := fmt.Sprintf("pgwitness run, ended with exit code %d;", code); code <= exitFailed || !strings.Contains(d.said.String(), want) ||
		!strings.Contains(d.said.String(), "does not exist") {
		t.Errorf("exit code %d:\n%s", code, &d.said)
	}
	nothingLeft()

	exec("postgres", "CREATE DATABASE pgwitness_demo")
	d = startDemo(t, environ, "--dsn", dsn)
	if code := d.end(t); code != exitSetup || !strings.Contains(d.said.String(), "database pgwitness_demo is there already") {
		t.Errorf("exit code %d:\n%s", code, &d.said)
	}
}
