package witnesstest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Config says how a Process is to run.
type Config struct {
	// DSN is the database to follow, at the address to dial. It is given in the environment.
	DSN string
	// Slot and Publication are what was made there. They default to "pgwitness".
	Slot, Publication string
	// Dir holds the state directory and the log of standard error. Processes that take over from one another share it.
	Dir string
	// Sinks is the list of sinks, in YAML. Defaults to one file, Dir/audit.jsonl.
	Sinks string
	// Environ are more variables, "NAME=value". Defaults to none.
	Environ []string
	// Args follow "run". Defaults to none.
	Args []string
	// Stdout takes standard output. Defaults to nobody.
	Stdout io.Writer
}

// Process is a running `pgwitness run`.
type Process struct {
	cmd    *exec.Cmd
	stderr *recorder
	done   chan struct{} // closed when it has ended
}

// Run starts `pgwitness run`. It is killed at the end of the test if it still runs.
func Run(tb testing.TB, cfg Config) *Process {
	tb.Helper()
	log, err := os.OpenFile(filepath.Join(cfg.Dir, "pgwitness.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Process{
		cmd:    exec.Command(Binary(tb), append([]string{"run"}, cfg.Args...)...),
		stderr: &recorder{also: log, grown: make(chan struct{})},
		done:   make(chan struct{}),
	}
	if cfg.Sinks == "" {
		cfg.Sinks = "[{type: file, path: " + strconv.Quote(filepath.Join(cfg.Dir, "audit.jsonl")) + "}]"
	}
	p.cmd.Env = append(os.Environ(),
		"PGWITNESS_SOURCE_DSN="+cfg.DSN, "PGWITNESS_SOURCE_SLOT="+cfg.Slot, "PGWITNESS_SOURCE_PUBLICATION="+cfg.Publication,
		"PGWITNESS_SINKS="+cfg.Sinks, "PGWITNESS_STATE_DIR="+filepath.Join(cfg.Dir, "state"), "PGWITNESS_HTTP_LISTEN=off",
	)
	p.cmd.Env = append(p.cmd.Env, cfg.Environ...)
	p.cmd.Stdout = cfg.Stdout
	p.cmd.Stderr = p.stderr
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the state tells more than the error
		_ = log.Close()
		close(p.done)
	}()
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("standard error of process %d:\n%s", p.PID(), p.Stderr())
		}
	})
	return p
}

// Kill sends SIGKILL and returns when the process has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails when it has ended
	<-p.done
}

// Signal sends a signal, unless the process has ended.
func (p *Process) Signal(tb testing.TB, signal os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Fatal(err)
	}
}

// PID returns the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Killed says whether a signal ended the process, once Done is closed.
func (p *Process) Killed() bool { return !p.cmd.ProcessState.Exited() }

// ExitCode waits for the process to end by itself and returns its exit code. The test fails at once when it takes longer
// than limit.
func (p *Process) ExitCode(tb testing.TB, limit time.Duration) int {
	tb.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		tb.Fatalf("still running after %v; standard error:\n%s", limit, p.Stderr())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stderr returns what was written to standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// AwaitLog waits until standard error holds text. The test fails at once when that takes longer than limit, or when the
// process ends before.
func (p *Process) AwaitLog(tb testing.TB, text string, limit time.Duration) {
	tb.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		held, grown := p.stderr.holds(text)
		if held {
			return
		}
		select {
		case <-grown:
		case <-p.done:
			if held, _ := p.stderr.holds(text); !held {
				tb.Fatalf("ended with code %d and without %q on standard error:\n%s", p.cmd.ProcessState.ExitCode(), text, p.Stderr())
			}
			return
		case <-timer.C:
			tb.Fatalf("no %q on standard error within %v:\n%s", text, limit, p.Stderr())
		}
	}
}

// recorder keeps what is written to it, and passes it on.
type recorder struct {
	also io.Writer

	mu    sync.Mutex
	text  bytes.Buffer  // guarded by mu
	grown chan struct{} // closed and replaced at each write; guarded by mu
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(p)
	close(r.grown)
	r.grown = make(chan struct{})
	return r.also.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// holds says whether text was written, and returns what is closed when more is.
func (r *recorder) holds(text string) (bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.text.Bytes(), []byte(text)), r.grown
}
