// Command bench puts pgwitness beside pg_recvlogical, the plainest consumer there is: both drain the same backlog of a real
// server into a file, in turns. It then measures the time from commit to durable of live transactions, and what the triggers
// cost that write the audit table. docs/PERFORMANCE.md tells how to read the numbers.
//
//	go run ./scripts/bench
//	go run ./scripts/bench -markdown >numbers.md
//	go run ./scripts/bench -scenarios b -scale 0.1
//
// Scenarios a to c need pg_recvlogical, which is in the client package of PostgreSQL; the server is fetched.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"pgwitness/internal/embeddedpg"
)

func main() {
	if embeddedpg.RunChild() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	postgres  int
	rounds    int
	scale     float64
	scenarios string
	live      time.Duration
	dir       string
	binary    string
	markdown  bool
}

func parse(args []string, errOut io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.IntVar(&o.postgres, "postgres", embeddedpg.DefaultVersion, "run this major `version` of the server")
	flags.IntVar(&o.rounds, "rounds", 5, "do each thing this `many` times with each of those compared")
	flags.Float64Var(&o.scale, "scale", 1, "make the work this `factor` larger or smaller")
	flags.StringVar(&o.scenarios, "scenarios", "abcde", "run these `letters` only")
	flags.DurationVar(&o.live, "live", 20*time.Second, "measure live transactions for this `long`")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "let both write below this `directory`; its disk is what is measured")
	flags.StringVar(&o.binary, "pgwitness", "", "measure this `executable` instead of building ./cmd/pgwitness")
	flags.BoolVar(&o.markdown, "markdown", false, "print tables for docs/PERFORMANCE.md")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.rounds < 1 || o.scale <= 0 || o.live <= 0:
		return o, errors.New("-rounds, -scale and -live want more than 0")
	case o.scenarios == "" || strings.Trim(o.scenarios, "abcde") != "":
		return o, fmt.Errorf("-scenarios %s: there is no scenario but a, b, c, d and e", o.scenarios)
	case !slices.Contains(embeddedpg.Versions(), o.postgres):
		return o, fmt.Errorf("-postgres %d: choose one of %v", o.postgres, embeddedpg.Versions())
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	receiver := ""
	if strings.ContainsAny(o.scenarios, "abc") {
		if receiver, err = findReceiver(); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(o.dir, "pgwitness-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.binary == "" && o.scenarios != "e" {
		fmt.Fprintln(progress, "building pgwitness")
		if o.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	fmt.Fprintf(progress, "starting PostgreSQL %d\n", o.postgres)
	server, err := embeddedpg.Start(ctx, embeddedpg.Config{Version: o.postgres, Fsync: true, Settings: serverSettings})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	b := &bench{options: o, dir: dir, receiver: receiver, dsn: server.DSN("postgres"), progress: progress}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	defer b.close()
	report := report{out: out, markdown: o.markdown}
	if err := report.head(b); err != nil {
		return err
	}
	for _, s := range scenarios {
		if !strings.Contains(o.scenarios, s.letter) {
			continue
		}
		rounds, err := b.drain(ctx, s)
		if err != nil {
			return fmt.Errorf("(%s) %s: %w", s.letter, s.name, err)
		}
		if err := report.drain(s, b.rows(s), rounds); err != nil {
			return err
		}
	}
	if strings.Contains(o.scenarios, "d") {
		if err := b.runLive(ctx, report); err != nil {
			return err
		}
	}
	if !strings.Contains(o.scenarios, "e") {
		return nil
	}
	if err := b.capture(ctx, report); err != nil {
		return fmt.Errorf("(e) %w", err)
	}
	return nil
}

func (b *bench) runLive(ctx context.Context, report report) error {
	var lives []liveResult
	for _, v := range liveVariants {
		result, err := b.live(ctx, v)
		if err != nil {
			return fmt.Errorf("(d) %s: %w", v.name, err)
		}
		lives = append(lives, result)
	}
	return report.live(lives)
}

// serverSettings keep from the measurement what would come and go by itself.
var serverSettings = map[string]string{
	"autovacuum":         "off",
	"max_wal_size":       "16GB",
	"checkpoint_timeout": "1h",
}

// build builds the binary as a release is built.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "pgwitness")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "pgwitness/cmd/pgwitness")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building pgwitness (run this in its source tree): %w\n%s", err, output)
	}
	return path, nil
}

// findReceiver looks for pg_recvlogical in PATH and where Debian keeps it, the newest first.
func findReceiver() (string, error) {
	if path, err := exec.LookPath("pg_recvlogical"); err == nil {
		return path, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_recvlogical")
	if err != nil || len(found) == 0 {
		return "", errors.Join(errors.New("pg_recvlogical is not there: install the client package of PostgreSQL (postgresql-client), or put it in PATH"), err)
	}
	return found[len(found)-1], nil
}
