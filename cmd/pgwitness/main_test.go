package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"pgwitness/internal/config"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/terminal"
	"pgwitness/sink"
)

// asMain makes the test binary behave as pgwitness itself.
const asMain = "TEST_BINARY_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	pgtest.Main(m)
}

// probe is a root command with a command "probe" that has run's flags and does body.
func probe(body func(cmd *cobra.Command, load func() (*config.Config, error)) error) *cobra.Command {
	cmd := &cobra.Command{Use: "probe", Args: noArgs}
	load := addConfigFlags(cmd, runFlags)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return body(cmd, load) }
	root := newRootCommand()
	root.AddCommand(cmd)
	return root
}

func TestCommandLineMistakes(t *testing.T) {
	tests := []struct {
		args string
		want string // what standard error holds, for exit code 2
	}{
		{"versoin", `unknown command "versoin": did you mean version? pgwitness --help lists the commands`},
		{"frobnicate", `unknown command "frobnicate": pgwitness --help lists the commands`},
		{"help frobnicate", `unknown command "frobnicate": pgwitness --help lists the commands`},
		{"postgres://u:SECRET@h/db", `unknown command that looks like a connection string: pgwitness --help lists the commands`},
		{"--slto x", `unknown flag --slto: did you mean --help? See pgwitness --help`},
		{"version --jsn", `unknown flag --jsn: did you mean --json? See pgwitness version --help`},
		{"version --json=perhaps", `invalid argument "perhaps" for "--json" flag: strconv.ParseBool: parsing "perhaps": invalid syntax: see pgwitness version --help`},
		{"version now", `unexpected argument "now": pgwitness version takes flags only, see pgwitness version --help`},
		{"completion", `missing argument: pgwitness completion wants one of bash, fish, powershell, zsh`},
		{"completion ksh", `unknown shell "ksh": pgwitness completion wants one of bash, fish, powershell, zsh`},
		{"probe --slto x", `unknown flag --slto: did you mean --slot? See pgwitness probe --help`},
		{"probe --slto=SECRET", `unknown flag --slto: did you mean --slot? See pgwitness probe --help`},
		{"probe -pSECRET", `unknown flag -p: see pgwitness probe --help`},
		{"probe --slot", `flag needs an argument: --slot: see pgwitness probe --help`},
		{"probe password=SECRET", `unexpected argument that looks like a connection string: pgwitness probe takes flags only, see pgwitness probe --help`},
		{"probe --dsn postgres://u:SECRET@h/db", `--dsn: holds a password, which every user of this machine can read here: put it in PGPASSWORD, ~/.pgpass or the file that PGWITNESS_SOURCE_PASSWORD_FILE names`},
		{"probe --dsn password=SECRET", `--dsn: holds a password, which every user of this machine can read here: put it in PGPASSWORD, ~/.pgpass or the file that PGWITNESS_SOURCE_PASSWORD_FILE names`},
		{"probe --dsn host=h --dsn password=SECRET", `--dsn: holds a password, which every user of this machine can read here: put it in PGPASSWORD, ~/.pgpass or the file that PGWITNESS_SOURCE_PASSWORD_FILE names`},
		{"probe --slot A --log-level loud", `--log-level: log.level: want debug, info, warn or error; --slot: source.slot: want 1 to 63 of a-z, 0-9 and _, as PostgreSQL demands of a slot's name`},
		{"probe --sink kafka", `--sink: "kafka": want stdout or file:PATH`},
		{"probe -c /missing/pgwitness.yaml", `configuration file: open /missing/pgwitness.yaml: no such file or directory`},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			root := probe(func(_ *cobra.Command, load func() (*config.Config, error)) error {
				_, err := load()
				return err
			})
			if code := execute(t.Context(), root, strings.Fields(test.args), &stdout, &stderr); code != exitUsage {
				t.Errorf("exit code %d", code)
			}
			if want := "pgwitness: " + test.want + "\n"; stderr.String() != want {
				t.Errorf("standard error\n got: %swant: %s", &stderr, want)
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output: %s", &stdout)
			}
		})
	}
}

func TestFlagsReachTheConfiguration(t *testing.T) {
	t.Setenv("PGWITNESS_SOURCE_SLOT", "from_environment")
	args := strings.Fields("probe --dsn host=h --table a.b --slot s --publication p --sink stdout --sink file:/f " +
		"--listen 127.0.0.1:0 --state-dir /d --log-level warn --log-format text")
	var stderr bytes.Buffer
	code := execute(t.Context(), probe(func(_ *cobra.Command, load func() (*config.Config, error)) error {
		c, err := load()
		if err != nil {
			return err
		}
		got := []any{string(c.Source.DSN), c.Source.Table, c.Source.Slot, c.Source.Publication, c.Sinks[0].Type, c.Sinks[1].File.Path,
			c.HTTP.Listen, c.StateDir, c.Log.Level, c.Log.Format}
		want := "[host=h a.b s p stdout /f 127.0.0.1:0 /d WARN text]"
		if text := fmt.Sprint(got); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
		return nil
	}), args, &stderr, &stderr)
	if code != exitDone {
		t.Errorf("exit code %d, standard error %s", code, &stderr)
	}
}

func TestExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context
		err    error
		code   int
		stderr string
	}{
		{"done", t.Context(), nil, exitDone, ""},
		{"failed", t.Context(), errors.New("disk: full"), exitFailed, "pgwitness: disk: full\n"},
		{"coded", t.Context(), fmt.Errorf("a: %w", withCode(exitDifferences, errors.New("b"))), exitDifferences, "pgwitness: a: b\n"},
		{"configuration", t.Context(), config.Mistakes{errors.New("a"), errors.New("b")}, exitUsage, "pgwitness: a; b\n"},
		{"sink configuration", t.Context(), fmt.Errorf("a: %w", sink.ErrConfig), exitUsage, "pgwitness: a: sink configuration\n"},
		{"foreign position", t.Context(), fmt.Errorf("a: %w", sink.ErrForeign), exitEvidence, "pgwitness: a: position of another origin\n"},
		{"closed", t.Context(), fmt.Errorf("a: %w", sink.ErrClosed), exitFailed, "pgwitness: a: destination closed\n"},
		{"the graver of two", t.Context(), errors.Join(sink.ErrConfig, sink.ErrForeign), exitEvidence, "pgwitness: sink configuration; position of another origin\n"},
		{"asked to stop", cancelled, fmt.Errorf("a: %w", context.Canceled), exitDone, ""},
		{"failed while stopping", cancelled, errors.New("a"), exitFailed, "pgwitness: a\n"},
		{"cancelled without being asked", t.Context(), fmt.Errorf("a: %w", context.Canceled), exitFailed, "pgwitness: a: context canceled\n"},
		{"many lines", t.Context(), errors.New("cannot connect:\n\thost a: refused\n\n\thost b: \x1b[31mrefused\r\n"), exitFailed,
			"pgwitness: cannot connect: host a: refused; host b:  [31mrefused\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			root := probe(func(*cobra.Command, func() (*config.Config, error)) error { return test.err })
			if code := execute(test.ctx, root, []string{"probe"}, &stdout, &stderr); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if stderr.String() != test.stderr {
				t.Errorf("standard error %q, want %q", &stderr, test.stderr)
			}
		})
	}
	if withCode(exitSetup, nil) != nil {
		t.Error("withCode makes an error of nil")
	}
}

func TestHelpAndVersion(t *testing.T) {
	tests := []struct {
		args string
		want []string
	}{
		{"", []string{"Usage:", "Examples:", "Exit codes:", "version"}},
		{"--help", []string{"Usage:", "Examples:", "Exit codes:"}},
		{"help version", []string{"Say which version this is", "--json"}},
		{"help probe", []string{"--slot NAME", "--sink SINK", "-c, --config FILE"}},
		{"--version", []string{readBuildInfo().String()}},
		{"version", []string{readBuildInfo().String()}},
		{"completion bash", []string{"__start_pgwitness"}},
	}
	for _, test := range tests {
		var stdout, stderr bytes.Buffer
		root := probe(func(*cobra.Command, func() (*config.Config, error)) error { return nil })
		if code := execute(t.Context(), root, strings.Fields(test.args), &stdout, &stderr); code != exitDone || stderr.Len() > 0 {
			t.Errorf("%s: exit code %d, standard error %s", test.args, code, &stderr)
		}
		for _, want := range test.want {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s: no %q in:\n%s", test.args, want, &stdout)
			}
		}
	}
}

func TestVersionJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := execute(t.Context(), newRootCommand(), []string{"version", "--json"}, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit code %d, standard error %s", code, &stderr)
	}
	var info buildInfo
	if err := json.Unmarshal(stdout.Bytes(), &info); err != nil {
		t.Fatal(err)
	}
	if info != readBuildInfo() {
		t.Errorf("got %+v, want %+v", info, readBuildInfo())
	}
}

// The whole process: what main makes of a mistake is what a shell sees.
func TestProcess(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "versoin")
	cmd.Env = append(os.Environ(), asMain+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
		t.Errorf("error %v, want exit code %d", err, exitUsage)
	}
	if lines := strings.Count(stderr.String(), "\n"); lines != 1 {
		t.Errorf("%d lines on standard error:\n%s", lines, &stderr)
	}
}

func TestSignals(t *testing.T) {
	received, exited := make(chan os.Signal), make(chan int, 1)
	ctx, stop := watchSignals(t.Context(), received, func(code int) { exited <- code })
	received <- syscall.SIGTERM
	<-ctx.Done()
	if cause := context.Cause(ctx).Error(); !strings.Contains(cause, syscall.SIGTERM.String()) {
		t.Errorf("cause %q does not name the signal", cause)
	}
	select {
	case code := <-exited:
		t.Fatalf("the first signal exits with %d", code)
	default:
	}
	received <- os.Interrupt
	if code := <-exited; code != 130 {
		t.Errorf("the second signal exits with %d, want 130", code)
	}
	stop()

	ctx, stop = watchSignals(t.Context(), received, func(int) {})
	if err := ctx.Err(); err != nil {
		t.Errorf("without a signal: %v", err)
	}
	stop()
	if ctx.Err() == nil {
		t.Error("stop leaves the context open")
	}
}

func TestLogger(t *testing.T) {
	for format, prefix := range map[string]string{config.LogAuto: "{", config.LogJSON: "{", config.LogText: "time="} {
		var log bytes.Buffer
		logger := newLogger(&log, config.Log{Level: slog.LevelWarn, Format: format})
		logger.Info("below the level")
		logger.Warn("at the level")
		if text := log.String(); !strings.HasPrefix(text, prefix) || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: %s", format, text)
		}
	}
}

// On a terminal a line is a time, a level, what happened and to what, the error in red where there are colours.
func TestLogOnATerminal(t *testing.T) {
	for colours, want := range map[bool]string{
		false: `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ERR it fails; trying again sink=\[5mfile error="no \[2Jspace"\n$`,
		true:  `^\x1b\[2m[^\x1b]+\x1b\[0m \x1b\[91mERR\x1b\[0m it fails; trying again \x1b\[2msink=\x1b\[0m\[5mfile \x1b\[2;91merror=\x1b\[22m"no \[2Jspace"\x1b\[0m\n$`,
	} {
		var log bytes.Buffer
		logger := slog.New(newScreenHandler(terminal.Terminal{Writer: &log, Colours: colours}, slog.LevelWarn))
		logger.Info("below the level")
		logger.Error("it fails; trying again", "sink", "\x1b[5mfile", "error", errors.New("no \x1b[2Jspace"))
		if !regexp.MustCompile(want).MatchString(log.String()) {
			t.Errorf("with colours %t: %q, want %s", colours, log.String(), want)
		}
	}
}
