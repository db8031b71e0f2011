package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pgwitness/internal/demo"
)

func TestDemoMistakes(t *testing.T) {
	tests := []struct {
		args []string
		want string // what standard error holds, for exit code 2
	}{
		{[]string{"now"}, `unexpected argument "now": pgwitness demo takes flags only, see pgwitness demo --help`},
		{[]string{"--for", "soon"}, `invalid argument "soon" for "--for" flag: time: invalid duration "soon": see pgwitness demo --help`},
		{[]string{"--for", "-1s"}, `--for: want a duration such as 30s`},
		{[]string{"--rate", "-1"}, `--rate: want rows a second, or 0 for as many as the machine can`},
		{[]string{"--postgres", "9"}, `--postgres: want one of [14 15 16 17 18]`},
		{[]string{"--dsn", "host=h", "--postgres", "17"}, `--dsn and --postgres: give one of them, the server of the one has its version already`},
		{[]string{"--dsn", "postgres://u:SECRET@h/db"}, `--dsn: holds a password, which every user of this machine can read here: put it in PGPASSWORD, ~/.pgpass or the file that PGWITNESS_SOURCE_PASSWORD_FILE names`},
		{[]string{"--dsn", "host=h sslmode=sometimes"}, `--dsn: in the connection string or the PG* variables: sslmode: want disable, allow, prefer, require, verify-ca or verify-full`},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			// In a process of its own: what is no mistake after all begins a demo.
			cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"demo"}, test.args...)...)
			cmd.Env = append(os.Environ(), asMain+"=1")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run() // ProcessState says it all
			if code := cmd.ProcessState.ExitCode(); code != exitUsage {
				t.Errorf("exit code %d", code)
			}
			if want := "pgwitness: " + test.want + "\n"; stderr.String() != want || stdout.Len() > 0 {
				t.Errorf("standard output %q, standard error\n got: %swant: %s", &stdout, &stderr, want)
			}
		})
	}
}

func TestDemoCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
	}{
		{nil, exitDone},
		{&demo.Ended{Code: exitSetup}, exitSetup},
		{fmt.Errorf("a: %w", &demo.ConsumerError{Code: exitEvidence}), exitEvidence},
		{&demo.ConsumerError{Code: -1}, exitFailed}, // a signal ended it
		{demo.ErrDifferences, exitDifferences},
		{demo.ErrSetup, exitSetup},
		{demo.ErrUsage, exitUsage},
		{errors.New("other"), exitFailed},
	} {
		if code := exitCode(demoCode(test.err)); code != test.code {
			t.Errorf("%v: exit code %d, want %d", test.err, code, test.code)
		}
	}
}

// The stage is no command for people: by hand it has nobody to give it an order.
func TestStageAlone(t *testing.T) {
	var stdout, stderr bytes.Buffer
	root := newRootCommand()
	root.SetIn(strings.NewReader(""))
	if code := execute(t.Context(), root, []string{"stage"}, &stdout, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "pgwitness demo") {
		t.Errorf("exit code %d, standard error %s", code, &stderr)
	}
	stderr.Reset()
	if execute(t.Context(), newRootCommand(), []string{"--help"}, &stdout, &stderr); strings.Contains(stdout.String(), "stage") {
		t.Error("the help lists it")
	}
}
