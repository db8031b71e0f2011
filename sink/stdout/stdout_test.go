package stdout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink"
	"pgwitness/sink/sinktest"
)

const firstLSN = decoder.LSN(0x16B3748)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Run("a file", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinktest.Harness {
			path := filepath.Join(t.TempDir(), "stdout")
			file, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { file.Close() })
			return sinktest.Harness{
				New: func(*testing.T) sink.Sink { return New(Config{Writer: file}) },
				Read: func(t *testing.T) [][]byte {
					text, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					return splitLines(t, text)
				},
			}
		})
	})
	t.Run("a writer that fails", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinktest.Harness {
			out := &failingWriter{failAt: -1}
			return sinktest.Harness{
				New:   func(*testing.T) sink.Sink { return New(Config{Writer: out}) },
				Read:  func(t *testing.T) [][]byte { return splitLines(t, out.taken.Bytes()) },
				Break: func(*testing.T) { out.failAt = out.taken.Len() + 1000 },
				Mend:  func(*testing.T) { out.failAt = -1 },
			}
		})
	})
}

// failingWriter takes bytes up to failAt, and all of them while it is negative.
type failingWriter struct {
	taken  bytes.Buffer
	failAt int
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if room := w.failAt - w.taken.Len(); w.failAt >= 0 && room < len(p) {
		n, _ := w.taken.Write(p[:max(0, room)])
		return n, errors.New("no room")
	}
	return w.taken.Write(p)
}

// TestNoTornLine fails at each byte of a batch: what comes after the failure goes on at that byte.
func TestNoTornLine(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 2, 2)
	var want []byte
	for i := range events {
		want = append(want, events[i].Line()...)
	}
	for n := range want {
		out := &failingWriter{failAt: n}
		s := opened(t, out)
		if err := s.Write(t.Context(), events); err == nil {
			t.Fatalf("at byte %d: Write returned nil", n)
		}
		out.failAt = -1
		if err := s.Write(t.Context(), events); err != nil {
			t.Fatalf("at byte %d: %v", n, err)
		}
		if !bytes.Equal(out.taken.Bytes(), want) {
			t.Fatalf("at byte %d: the output is\n%s, want\n%s", n, out.taken.Bytes(), want)
		}
	}
}

// TestOtherEventAfterFailure must not glue half an event and another one together.
func TestOtherEventAfterFailure(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 2, 1)
	out := &failingWriter{failAt: 10}
	s := opened(t, out)
	if err := s.Write(t.Context(), events); err == nil {
		t.Fatal("Write returned nil")
	}
	out.failAt = -1
	if err := s.Write(t.Context(), events[1:]); !errors.Is(err, sink.ErrClosed) {
		t.Errorf("Write of another event returned %v, want %v: %s", err, sink.ErrClosed, out.taken.Bytes())
	}
}

// TestReopened opens the sink again, as a process does that follows a promoted server, after half an event or a whole one.
func TestReopened(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 2, 1)
	first, second := events[0].Line(), events[1].Line()
	promoted := sinktest.Origin
	promoted.Timeline++
	for _, test := range []struct {
		name      string
		failAt    int
		branch    decoder.LSN
		continues bool
	}{
		{"nothing written, and everything behind the branch", 0, firstLSN, true},
		{"half an event before the branch", 10, events[0].LSN + 1, true},
		{"half an event behind the branch", 10, events[0].LSN, false},
		{"an event and a half before the branch", len(first) + 10, events[1].LSN + 1, true},
		{"half of the second event behind the branch", len(first) + 10, events[1].LSN, false},
		{"the second event behind the branch, and nothing of it written", len(first), events[1].LSN, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := &failingWriter{failAt: test.failAt}
			s := opened(t, out)
			if err := s.Write(t.Context(), events); err == nil {
				t.Fatal("Write returned nil")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			out.failAt = -1
			promoted.History = []sink.Branch{{Timeline: sinktest.Origin.Timeline, At: test.branch}}
			_, err := s.Open(t.Context(), promoted)
			if !test.continues {
				if !errors.Is(err, sink.ErrForeign) {
					t.Errorf("Open returned %v, want %v", err, sink.ErrForeign)
				}
				return
			}
			if err == nil {
				err = s.Write(t.Context(), events)
			}
			if want := string(first) + string(second); err != nil || out.taken.String() != want {
				t.Errorf("the output is (%v)\n%s, want\n%s", err, &out.taken, want)
			}
		})
	}
}

func TestReaderLeaves(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	s := opened(t, writer)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), pgoutputtest.Events(firstLSN, 1, 1)); !errors.Is(err, sink.ErrClosed) {
		t.Errorf("Write to a pipe without a reader returned %v, want %v", err, sink.ErrClosed)
	}
}

func TestClosedOutput(t *testing.T) {
	_, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Writer: writer}).Open(t.Context(), sinktest.Origin); !errors.Is(err, sink.ErrConfig) {
		t.Errorf("Open of a closed standard output returned %v, want %v", err, sink.ErrConfig)
	}
}

// TestSlowReader passes several times what a pipe holds.
func TestSlowReader(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 200, 5)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	read := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(reader)
		read <- text
	}()
	s := opened(t, writer)
	if err := s.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	lines := splitLines(t, <-read)
	if len(lines) != len(events) {
		t.Fatalf("%d lines, want %d", len(lines), len(events))
	}
	for i := range lines {
		if !bytes.Equal(lines[i], events[i].JSON()) {
			t.Fatalf("line %d is %s, want %s", i, lines[i], events[i].JSON())
		}
	}
}

func opened(t *testing.T, out io.Writer) *Sink {
	t.Helper()
	s := New(Config{Writer: out})
	if _, err := s.Open(context.Background(), sinktest.Origin); err != nil {
		t.Fatal(err)
	}
	return s
}

func splitLines(t *testing.T, text []byte) [][]byte {
	t.Helper()
	if len(text) == 0 {
		return nil
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		t.Fatal("the output ends in a torn line")
	}
	return bytes.Split(text[:len(text)-1], []byte("\n"))
}
