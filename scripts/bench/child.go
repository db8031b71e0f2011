package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// cost is what one run of a consumer took.
type cost struct {
	wall         time.Duration // from the start of the process to its end
	user, system time.Duration
	peak         int64 // bytes resident; 0 where the system does not tell
	bytes        int64 // of its file
	lines        int   // of its file; pgwitness only
}

func (c cost) cpu() time.Duration { return c.user + c.system }

// child is a running consumer.
type child struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	began  time.Time
	ended  chan struct{}
	err    error // set before ended is closed
	cost   cost  // set before ended is closed
}

// peakPoll is how often the high-water mark of resident memory is read. The mark itself misses nothing; what grows in the
// last moment of a process goes unseen.
const peakPoll = 20 * time.Millisecond

// start runs a consumer with variables of the environment beside our own.
func start(ctx context.Context, environ []string, name string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, name, args...), ended: make(chan struct{})}
	c.cmd.Env = append(bareEnviron(), environ...)
	c.cmd.Stderr = &c.stderr
	c.began = time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	stop, stopped := make(chan struct{}), make(chan int64, 1)
	go func() { stopped <- watchPeak(c.cmd.Process.Pid, stop) }()
	go func() {
		defer close(c.ended)
		err := c.cmd.Wait()
		c.cost.wall = time.Since(c.began)
		close(stop)
		c.cost.peak = <-stopped
		c.cost.user, c.cost.system = c.cmd.ProcessState.UserTime(), c.cmd.ProcessState.SystemTime()
		if err != nil {
			c.err = fmt.Errorf("%s: %w: %s", filepath.Base(name), err, lastLine(c.stderr.String()))
		}
	}()
	return c, nil
}

func watchPeak(pid int, stop <-chan struct{}) int64 {
	ticker := time.NewTicker(peakPoll)
	defer ticker.Stop()
	var peak int64
	for {
		select {
		case <-ticker.C:
			peak = max(peak, peakRSS(pid))
		case <-stop:
			return peak
		}
	}
}

// wait returns what the child took once it has ended.
func (c *child) wait() (cost, error) {
	<-c.ended
	return c.cost, c.err
}

// terminate asks the child to end and waits until it has.
func (c *child) terminate() (cost, error) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	return c.wait()
}

// bareEnviron is our environment without what would configure a consumer.
func bareEnviron() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") { // PGWITNESS_… as well
			kept = append(kept, variable)
		}
	}
	return kept
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// startPgwitness starts `pgwitness run` with a file in dir.
func (b *bench) startPgwitness(ctx context.Context, dir, slot string, args ...string) (*child, string, error) {
	path := filepath.Join(dir, "audit.jsonl")
	args = append([]string{
		"run", "--slot", slot, "--publication", publication, "--sink", "file:" + path, "--state-dir", filepath.Join(dir, "state"),
	}, args...)
	c, err := start(ctx, []string{"PGWITNESS_SOURCE_DSN=" + b.dsn}, b.binary, args...)
	return c, path, err
}

func (b *bench) runPgwitness(ctx context.Context, dir, slot, end string) (cost, error) {
	c, path, err := b.startPgwitness(ctx, dir, slot, "--listen", "off", "--endpos", end)
	if err != nil {
		return cost{}, err
	}
	took, err := c.wait()
	if err != nil {
		return took, err
	}
	took.bytes, took.lines, err = measureFile(path)
	return took, err
}

func (b *bench) runReceiver(ctx context.Context, dir, slot, end string) (cost, error) {
	cfg, err := pgconn.ParseConfig(b.dsn)
	if err != nil {
		return cost{}, err
	}
	path := filepath.Join(dir, "messages")
	c, err := start(ctx, []string{"PGPASSWORD=" + cfg.Password, "PGSSLMODE=disable"}, b.receiver,
		"--host", cfg.Host, "--port", strconv.Itoa(int(cfg.Port)), "--username", cfg.User, "--dbname", cfg.Database,
		"--slot", slot, "--start", "--no-loop", "--endpos", end, "--file", path,
		"--option", "proto_version=1", "--option", "publication_names="+publication)
	if err != nil {
		return cost{}, err
	}
	took, err := c.wait()
	if err != nil {
		return took, err
	}
	// Its file is of binary messages, which may hold line ends of their own.
	took.bytes, _, err = measureFile(path)
	return took, err
}

// measureFile counts the bytes and the line ends of a file.
func measureFile(path string) (size int64, lines int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := file.Read(buf)
		size += int64(n)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			return size, lines, nil
		}
		if err != nil {
			return 0, 0, err
		}
	}
}
