// Package demo shows pgwitness at work: a shop whose tables are audited, a real `pgwitness run` that follows the audit
// table, and at the end a comparison of what it delivered with what the table holds, row by row.
//
// Three processes take part. The one in front, Run, is where a person presses Ctrl-C. It starts the stage, which owns
// everything the demo makes and ends, having removed it, when told to or when its standard input closes, however the
// one in front came to its end. The stage starts the consumer, and kills it again and again where that is asked for.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"pgwitness/internal/config"
	"pgwitness/internal/embeddedpg"
)

var (
	// ErrUsage is a Config that cannot be.
	ErrUsage = errors.New("usage")
	// ErrSetup is an offered server on which the demo cannot play.
	ErrSetup = errors.New("set-up")
	// ErrDifferences says that what was delivered is not what the table holds.
	ErrDifferences = errors.New("differences")
)

// DefaultRate is the --rate of a person who gives none.
const DefaultRate = 50

// Config says what to show.
type Config struct {
	// For is how long the shop is open. Defaults to 0: until asked to stop.
	For time.Duration
	// Rate is how many audited rows a second the shop writes, as far as the machine can. Defaults to 0: as many as it can.
	Rate int
	// Kill has the consumer killed (SIGKILL) every second while the shop is open.
	Kill bool
	// DSN is how to connect to an installed server, as an administrator. The demo makes a database, a slot and roles of
	// its own there and removes them at the end. Defaults to empty: a server of the demo's own.
	DSN string
	// Postgres is the major version of the demo's own server. Defaults to embeddedpg.DefaultVersion.
	Postgres int
	// Listen is where the consumer serves its metrics, "off" for nowhere. Defaults to a free port on 127.0.0.1.
	Listen string
}

func (c *Config) check() error {
	switch {
	case c.For < 0:
		return classed(ErrUsage, "--for: want a duration such as 30s")
	case c.Rate < 0:
		return classed(ErrUsage, "--rate: want rows a second, or 0 for as many as the machine can")
	case c.DSN != "" && c.Postgres != 0:
		return classed(ErrUsage, "--dsn and --postgres: give one of them, the server of the one has its version already")
	case c.Postgres != 0 && !slices.Contains(embeddedpg.Versions(), c.Postgres):
		return classed(ErrUsage, "--postgres: want one of %v", embeddedpg.Versions())
	case c.DSN == "":
		return nil
	}
	if _, err := (config.Source{DSN: config.Secret(c.DSN)}).ConnConfig(); err != nil {
		return classed(ErrUsage, "--dsn: %w", errors.Unwrap(err))
	}
	return nil
}

// stageEnv tells a process that it is the stage.
const stageEnv = "PGWITNESS_DEMO_STAGE"

// Ended says with which exit code the stage ended. It has told why already.
type Ended struct{ Code int }

// Error gives the code.
func (e *Ended) Error() string { return fmt.Sprintf("the demo ended with exit code %d", e.Code) }

// order is the first thing the stage reads, in JSON, from its standard input. The next one, of whatever content, asks it
// to come to the end.
type order struct {
	Config
	Dir string // for everything that must not stay
}

// Run shows the demo on stdout and stderr, and returns when nothing of it is left. When ctx ends, the shop closes and the
// demo comes to its end as it does after Config.For. Its error is an *Ended, an ErrUsage, or one of the system's.
func Run(ctx context.Context, cfg Config, stdout, stderr io.Writer) (err error) {
	if err := cfg.check(); err != nil {
		return err
	}
	// Without this, a program that does not know its stage command would start itself for ever.
	if os.Getenv(stageEnv) != "" {
		return errors.New("a demo's stage was asked to start a demo: main must call demo.RunStage in it")
	}
	// The stage removes it as well: either may be killed.
	dir, err := os.MkdirTemp("", "pgwitness-demo-")
	if err != nil {
		return fmt.Errorf("%w; set TMPDIR to a directory that can be written", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	stage, err := self("stage")
	if err != nil {
		return err
	}
	stage.Env = append(os.Environ(), stageEnv+"=1")
	stage.Stdout, stage.Stderr = stdout, stderr
	detach(stage)
	stdin, err := stage.StdinPipe()
	if err != nil {
		return err
	}
	if err := stage.Start(); err != nil {
		return err
	}
	// Where the stage does not read, it has ended and tells why.
	orders := json.NewEncoder(stdin)
	_ = orders.Encode(order{cfg, dir})
	cancel := context.AfterFunc(ctx, func() { _ = orders.Encode("stop") })
	defer cancel()

	err = stage.Wait()
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return err
	case exit.Exited():
		return &Ended{exit.ExitCode()}
	case cfg.DSN != "":
		return fmt.Errorf("the demo's stage was killed (%w); if its database is still there, remove it by hand: %s", err, removal)
	}
	return fmt.Errorf("the demo's stage was killed (%w)", err)
}

// self returns this program with other arguments. On Linux /proc leads to it even where its file was replaced or removed.
func self(args ...string) (*exec.Cmd, error) {
	path := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		var err error
		if path, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Args[0] = "pgwitness"
	return cmd, nil
}

// classedError gives an error its class without the class's own word in the text.
type classedError struct{ class, err error }

func (e *classedError) Error() string   { return e.err.Error() }
func (e *classedError) Unwrap() []error { return []error{e.class, e.err} }

func classed(class error, format string, args ...any) error {
	return &classedError{class, fmt.Errorf(format, args...)}
}
