package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink/sinktest"
)

const (
	childPath  = "PGWITNESS_FILE_TEST_CHILD" // makes the test binary the process that is killed
	childBatch = 37                          // events a batch, so that transactions are cut
)

func childEvents() []decoder.Event { return pgoutputtest.Events(firstLSN, 300, 5) }

func childConfig(path string) Config {
	return Config{Path: path, RotateSize: 32 << 10, Compress: "gzip", Logger: slog.New(slog.DiscardHandler)}
}

// runChild writes what the file does not hold yet, and after each Write tells the parent the position that is durable.
func runChild(path string) int {
	s, err := New(childConfig(path))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	position, err := s.Open(context.Background(), sinktest.Origin)
	for events := after(childEvents(), position); err == nil && len(events) > 0; {
		n := min(childBatch, len(events))
		if err = s.Write(context.Background(), events[:n]); err == nil {
			fmt.Println(events[n-1].Position)
			events = events[n:]
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func after(events []decoder.Event, position decoder.Position) []decoder.Event {
	for len(events) > 0 && events[0].Compare(position) <= 0 {
		events = events[1:]
	}
	return events
}

// TestKilledAtRandom kills the writing process with SIGKILL, again and again until all is written.
func TestKilledAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for kills := 0; ; kills++ {
		child := startChild(t, path, "")
		// The pipe holds more than all the positions: the child is wherever it has got to when the kill comes.
		for range random.IntN(6) {
			child.readPosition()
		}
		killed := child.kill(t)
		child.check(t, path)
		if !killed {
			if kills < 5 {
				t.Errorf("killed %d times only", kills)
			}
			return
		}
	}
}

// child is a process that runs runChild, and the last position that it told.
type child struct {
	cmd       *exec.Cmd
	positions *bufio.Scanner
	stderr    strings.Builder
	told      string
}

func startChild(t *testing.T, path, armed string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), childPath+"="+path, "PGWITNESS_FAILPOINT="+armed)
	c.cmd.Stderr = &c.stderr
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.positions = bufio.NewScanner(stdout)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// readPosition waits until the child has written one more batch; it returns false when the child has ended.
func (c *child) readPosition() bool {
	if c.positions.Scan() {
		c.told = c.positions.Text()
		return true
	}
	return false
}

func (c *child) kill(t *testing.T) (killed bool) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	return c.wait()
}

// wait returns whether the child was killed, after all that it told.
func (c *child) wait() (killed bool) {
	for c.readPosition() {
	}
	_ = c.cmd.Wait() // the state below says more than its error
	return !c.cmd.ProcessState.Exited()
}

// check opens the file the way the next process does and compares: all that was told is there, each event once, in order.
func (c *child) check(t *testing.T, path string) {
	t.Helper()
	if c.cmd.ProcessState.Exited() && !c.cmd.ProcessState.Success() {
		t.Fatalf("the child failed: %s", &c.stderr)
	}
	s := newSink(t, childConfig(path))
	position, err := s.Open(t.Context(), sinktest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	events := childEvents()
	held := len(events) - len(after(events, position))
	expect(t, allLines(t, path), events[:held])
	if told := len(events) - len(after(events, parsePosition(t, c.told))); told > held {
		t.Fatalf("the child called %s durable, and the file ends at %s", c.told, position)
	}
}

func parsePosition(t *testing.T, text string) decoder.Position {
	t.Helper()
	var position decoder.Position
	i := strings.LastIndexByte(text, '/')
	if i < 0 {
		return position
	}
	lsn, err := decoder.ParseLSN(text[:i])
	if err == nil {
		_, err = fmt.Sscan(text[i+1:], &position.Seq)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	position.LSN = lsn
	return position
}
