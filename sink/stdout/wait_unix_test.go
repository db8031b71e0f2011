//go:build unix

package stdout

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink"
)

// TestStuckReader gives up on a reader that reads nothing, on a pipe as a shell makes it: one that blocks.
func TestStuckReader(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	writer.Fd() // makes it block
	s := opened(t, writer)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = s.Write(ctx, pgoutputtest.Events(firstLSN, 1000, 5))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Write to a stuck reader returned %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Write took %v to give up", took)
	}
}

// TestStandardOutput runs a process whose real standard output is a pipe, and leaves.
func TestStandardOutput(t *testing.T) {
	const child = "PGWITNESS_STDOUT_TEST_CHILD"
	if os.Getenv(child) != "" {
		signal.Ignore(syscall.SIGPIPE)
		s := New(Config{})
		if _, err := s.Open(context.Background(), sink.Origin{}); err != nil {
			os.Exit(3)
		}
		events := pgoutputtest.Events(firstLSN, 1000, 5)
		if err := s.Write(context.Background(), events); errors.Is(err, sink.ErrClosed) {
			os.Exit(42)
		}
		os.Exit(4)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestStandardOutput$")
	cmd.Env = append(os.Environ(), child+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len(`{"id":"1-`))
	if _, err := stdout.Read(first); err != nil || string(first) != `{"id":"1-` {
		t.Errorf("the first event begins with %q (%v)", first, err)
	}
	if err := stdout.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 42 {
		t.Errorf("the child ended with %s, want 42 for an ErrClosed", cmd.ProcessState)
	}
}
