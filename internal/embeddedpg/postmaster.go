package embeddedpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout bounds a start. Crash recovery of what a test writes takes seconds.
	startTimeout = time.Minute
	// stopTimeout bounds the stop when the parent has gone. An immediate shutdown kills what is left after 5 seconds.
	stopTimeout = 10 * time.Second
	readyPoll   = 5 * time.Millisecond
	logTail     = 4 << 10 // bytes
)

// errPortTaken means that somebody else listens on the port.
var errPortTaken = errors.New("port is taken")

// postmaster is a running postgres. It runs in the foreground below its owner instead of through pg_ctl, so that its
// owner knows its process and its end for certain, and does not wait for pg_ctl's polling.
type postmaster struct {
	cmd     *exec.Cmd
	dataDir string
	log     string
	exited  chan struct{} // closed when no process of the server is left
	status  error         // of the first process; set before exited is closed
}

// launch starts postgres on dataDir and returns at once. The caller's goroutine must be locked to its thread.
func launch(binDir, dataDir string, port int, logPath string) (*postmaster, error) {
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(binDir, "postgres"), "-D", dataDir, "-p", strconv.Itoa(port))
	// Not the file itself: then Wait would return with the postmaster's exit. As it is, it copies from a pipe until
	// the last backend has closed its end, also after the postmaster was killed.
	cmd.Stdout = struct{ io.Writer }{logFile}
	cmd.Stderr = cmd.Stdout
	dieWithChild(cmd)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), logFile.Close())
	}
	p := &postmaster{cmd: cmd, dataDir: dataDir, log: logPath, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		p.status = errors.Join(cmd.Wait(), logFile.Close())
	}()
	return p, nil
}

// awaitReady returns when the server accepts connections, or with an error when it exits first or takes too long;
// then no process of it is left.
func (p *postmaster) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		select {
		case <-p.exited:
			tail := p.logTail()
			if strings.Contains(tail, "could not create any TCP/IP sockets") {
				return errPortTaken
			}
			return fmt.Errorf("postgres did not start: %w; the end of its log:\n%s", p.status, tail)
		case <-ctx.Done():
			_ = p.destroy() // what matters is why it had to be
			return fmt.Errorf("postgres did not start: %w; the end of its log:\n%s", ctx.Err(), p.logTail())
		case <-poll.C:
			if p.ready() {
				return nil
			}
		}
	}
}

// ready reads the state the postmaster keeps in the eighth line of postmaster.pid, as pg_ctl does.
func (p *postmaster) ready() bool {
	content, err := os.ReadFile(filepath.Join(p.dataDir, "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(content), "\n")
	// The file of a killed postmaster stays until the next one writes its own.
	if len(lines) < 8 || lines[0] != strconv.Itoa(p.cmd.Process.Pid) {
		return false
	}
	state := strings.TrimSpace(lines[7])
	return state == "ready" || state == "standby"
}

func (p *postmaster) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal postgres: %w", err)
	}
	return nil
}

// destroy stops the server immediately and waits until no process of it is left.
func (p *postmaster) destroy() error {
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		if err := p.signal(sig); err != nil {
			return err
		}
		select {
		case <-p.exited:
			return nil
		case <-time.After(stopTimeout):
		}
	}
	return fmt.Errorf("postgres (process %d) does not stop", p.cmd.Process.Pid)
}

func (p *postmaster) logTail() string {
	file, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if _, err := file.Seek(-logTail, io.SeekEnd); err != nil {
		// The log is shorter than that: all of it.
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err.Error()
		}
	}
	tail, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(tail))
}

// freePort returns a port nobody listened on a moment ago. It lies below the ports that systems give to outgoing
// connections, so that no client takes it while a stopped server is to start again.
func freePort() (int, error) {
	const lowest, count, tries = 15000, 17000, 100
	var last error
	for range tries {
		port := lowest + rand.IntN(count)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1: %w", last)
}
