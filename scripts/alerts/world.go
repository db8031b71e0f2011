package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"pgwitness/internal/embeddedpg"
	"pgwitness/scripts"
)

const (
	keepSize = 64 // MiB, the slot's limit
	// writeEvery is the pause between two audited rows.
	writeEvery = 50 * time.Millisecond
	pollEvery  = 200 * time.Millisecond
	// patience is how long anything may take to show; an hour is four minutes here.
	patience = 5 * time.Minute
)

// world is a database with an audited table, a pgwitness that follows it, a Prometheus that watches it, and somebody who writes.
type world struct {
	out   io.Writer
	began time.Time
	dir   string

	server       *embeddedpg.Server
	binary       string
	listen       string // where pgwitness serves its metrics
	pgwitness    *child
	prometheusAt string
	prometheus   *child
	client       http.Client

	stopWriting context.CancelFunc
	written     chan struct{} // closed when the writer has ended
}

// say tells what happens, and when.
func (w *world) say(what, format string, args ...any) {
	fmt.Fprintf(w.out, "%6.1f s  %-9s %s\n", time.Since(w.began).Seconds(), what, fmt.Sprintf(format, args...))
}

func (w *world) open(ctx context.Context, postgres int, prometheus string) (err error) {
	if w.dir, err = os.MkdirTemp("", "pgwitness-alerts-"); err != nil {
		return err
	}
	for _, dir := range []string{"sink", "state", "prometheus"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o700); err != nil {
			return err
		}
	}
	w.binary = filepath.Join(w.dir, "pgwitness")
	if runtime.GOOS == "windows" {
		w.binary += ".exe"
	}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", w.binary, "./cmd/pgwitness")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build pgwitness: %w: %s", err, output)
	}
	if w.server, err = embeddedpg.Start(ctx, embeddedpg.Config{Version: postgres, Settings: map[string]string{
		"max_slot_wal_keep_size": fmt.Sprintf("%dMB", keepSize),
		"checkpoint_timeout":     "1h", // a checkpoint is what invalidates a slot past its limit: when, is for the scene to say
	}}); err != nil {
		return err
	}
	for _, sql := range []string{
		"CREATE TABLE your_table (id serial PRIMARY KEY, column_name text)",
		scripts.Seed,
		"CREATE PUBLICATION pgwitness FOR TABLE custom_audit_log",
		createSlot,
	} {
		if err := w.exec(ctx, sql); err != nil {
			return err
		}
	}
	if w.listen, err = freeAddress(); err != nil {
		return err
	}
	if err := w.startPgwitness(ctx); err != nil {
		return err
	}
	w.write(ctx)
	if err := w.startPrometheus(ctx, prometheus); err != nil {
		return err
	}
	w.say("START", "PostgreSQL %d, pgwitness and Prometheus run; the rules' durations are divided by %d", postgres, hurry)
	return nil
}

// close ends everything and removes what it left.
func (w *world) close() error {
	if w.stopWriting != nil {
		w.stopWriting()
		<-w.written
	}
	w.prometheus.end()
	w.pgwitness.end()
	w.client.CloseIdleConnections()
	var err error
	if w.server != nil {
		err = w.server.Close()
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

const createSlot = "SELECT pg_create_logical_replication_slot('pgwitness', 'pgoutput')"

func (w *world) startPgwitness(ctx context.Context) (err error) {
	w.pgwitness, err = start(ctx, []string{
		"PGWITNESS_SOURCE_DSN=" + w.server.DSN("postgres"), "PGWITNESS_SOURCE_NAME=shop", "PGWITNESS_HTTP_LISTEN=" + w.listen,
		"PGWITNESS_HTTP_LINGER=10m", "PGWITNESS_STATE_DIR=" + filepath.Join(w.dir, "state"),
		"PGWITNESS_SINKS=[{type: file, path: '" + filepath.Join(w.dir, "sink", "audit.jsonl") + "'}]",
	}, w.binary, "run")
	return err
}

func (w *world) startPrometheus(ctx context.Context, prometheus string) (err error) {
	if w.prometheusAt, err = freeAddress(); err != nil {
		return err
	}
	dir := filepath.Join(w.dir, "prometheus")
	if err := configurePrometheus(dir, w.listen); err != nil {
		return err
	}
	if w.prometheus, err = start(ctx, nil, prometheus, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+w.prometheusAt, "--log.level=warn"); err != nil {
		return fmt.Errorf("%w: it is in Debian's package of that name", err)
	}
	return w.poll(ctx, "Prometheus sees pgwitness stream", func() (bool, error) { return w.streams(ctx), nil })
}

// freeAddress returns one that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// exec runs sql on a connection of its own.
func (w *world) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, w.server.DSN("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// write writes audited rows until w is closed. The database may be away meanwhile.
func (w *world) write(ctx context.Context) {
	ctx, w.stopWriting = context.WithCancel(ctx)
	w.written = make(chan struct{})
	go func() {
		defer close(w.written)
		ticker := time.NewTicker(writeEvery)
		defer ticker.Stop()
		for ctx.Err() == nil {
			conn, err := pgx.Connect(ctx, w.server.DSN("postgres"))
			for err == nil {
				_, err = conn.Exec(ctx, "INSERT INTO your_table (column_name) VALUES ('a value')")
				select {
				case <-ticker.C:
				case <-ctx.Done():
				}
			}
			if conn != nil {
				_ = conn.Close(context.WithoutCancel(ctx)) // it is broken, or not needed any more
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}()
}

// poll waits until holds, and says what was waited for where it does not in time.
func (w *world) poll(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %v: %s", patience, what))
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if held, err := holds(); held || err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-w.prometheus.ended:
			return fmt.Errorf("prometheus has ended: %s", w.prometheus.log.Bytes())
		case <-ctx.Done():
			return fmt.Errorf("%w; pgwitness said last: %s", context.Cause(ctx), w.pgwitness.lastLine())
		}
	}
}

// await waits until the alerts that fire are as wanted.
func (w *world) await(ctx context.Context, what string, wanted func(firing map[string]alert) bool) error {
	var last map[string]alert
	err := w.poll(ctx, what, func() (bool, error) {
		firing, err := w.firing(ctx)
		if err != nil {
			return false, err
		}
		last = firing
		return wanted(firing), nil
	})
	if err != nil {
		return fmt.Errorf("%w; what fires: %v", err, slices.Sorted(maps.Keys(last)))
	}
	return nil
}

// child is a process that was started here.
type child struct {
	cmd   *exec.Cmd
	log   bytes.Buffer // of standard error; to be read after the end
	ended chan struct{}
}

// start starts a program with variables beside our own environment, of which it gets none that would configure it.
func start(ctx context.Context, environ []string, name string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, name, args...), ended: make(chan struct{})}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") {
			c.cmd.Env = append(c.cmd.Env, variable)
		}
	}
	c.cmd.Env = append(c.cmd.Env, environ...)
	c.cmd.Stderr = &c.log
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.cmd.Wait() // that it has ended is all that matters
		close(c.ended)
	}()
	return c, nil
}

// end asks the process to end, and waits until it has.
func (c *child) end() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	<-c.ended
}

// lastLine ends the process and returns what it said last.
func (c *child) lastLine() string {
	c.end()
	lines := strings.Split(strings.TrimSpace(c.log.String()), "\n")
	return lines[len(lines)-1]
}
