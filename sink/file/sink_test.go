package file

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink"
	"pgwitness/sink/sinktest"
)

const firstLSN = decoder.LSN(0x16B3748)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		os.Exit(runChild(path))
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"one file", Config{}},
		{"rotated by size", Config{RotateSize: 8 << 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Harness {
				dir := filepath.Join(t.TempDir(), "audit")
				mkdir(t, dir)
				cfg := tt.cfg
				cfg.Path = filepath.Join(dir, "audit.jsonl")
				return sinktest.Harness{
					New:       func(t *testing.T) sink.Sink { return newSink(t, cfg) },
					Read:      func(t *testing.T) [][]byte { return allLines(t, cfg.Path) },
					Remembers: true,
					Break:     func(t *testing.T) { rename(t, dir, dir+".away") },
					Mend:      func(t *testing.T) { rename(t, dir+".away", dir) },
				}
			})
		})
	}
}

func newSink(t *testing.T, cfg Config) *Sink {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a new sink, which is closed with the test, and checks that it finds the position of the last of the events.
func open(t *testing.T, cfg Config, held []decoder.Event) *Sink {
	t.Helper()
	s := newSink(t, cfg)
	position, err := s.Open(t.Context(), sinktest.Origin)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	var want decoder.Position
	if len(held) > 0 {
		want = held[len(held)-1].Position
	}
	if position != want {
		t.Fatalf("Open returned position %s, want %s", position, want)
	}
	return s
}

func write(t *testing.T, s *Sink, events []decoder.Event) {
	t.Helper()
	if err := s.Write(t.Context(), events); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

// expect fails the test unless lines are those of events.
func expect(t *testing.T, lines [][]byte, events []decoder.Event) {
	t.Helper()
	for i := range max(len(lines), len(events)) {
		switch {
		case i >= len(lines):
			t.Fatalf("%d lines, want %d: missing from event %s", len(lines), len(events), events[i].Position)
		case i >= len(events):
			t.Fatalf("%d lines, want %d: too many from %.200s", len(lines), len(events), lines[i])
		case !bytes.Equal(lines[i], events[i].JSON()):
			t.Fatalf("line %d is\n%.200s, want\n%.200s", i, lines[i], events[i].JSON())
		}
	}
}

// allLines reads the lines of the rotated files and of the file itself.
func allLines(t *testing.T, path string) [][]byte {
	t.Helper()
	files, err := listRotated(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]byte
	for i, f := range files {
		if i > 0 && f.name == files[i-1].name {
			continue // killed between the two halves of a compression
		}
		lines = append(lines, linesOf(t, f.name+f.compressed)...)
	}
	return append(lines, linesOf(t, path)...)
}

// linesOf reads the lines of one file, none if it is missing. Anything but whole lines fails the test.
func linesOf(t *testing.T, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err == nil {
		text, err = decompress(text, filepath.Ext(path))
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(text) == 0 {
		return nil
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		t.Fatalf("%s ends in a torn line: %.100q", path, text[bytes.LastIndexByte(text, '\n')+1:])
	}
	return bytes.Split(text[:len(text)-1], []byte("\n"))
}

func decompress(text []byte, ext string) ([]byte, error) {
	switch ext {
	case ".gz":
		r, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case ".zst":
		r, err := zstd.NewReader(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return text, nil
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no path":         {},
		"negative size":   {Path: "audit.jsonl", RotateSize: -1},
		"negative age":    {Path: "audit.jsonl", RotateEvery: -1},
		"negative keep":   {Path: "audit.jsonl", Keep: -1},
		"compress format": {Path: "audit.jsonl", Compress: "lzma"},
	} {
		if _, err := New(cfg); !errors.Is(err, sink.ErrConfig) {
			t.Errorf("%s: New returned %v, want %v", name, err, sink.ErrConfig)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 4, 1)
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string) string // returns the path to open
		want    error
		text    string // what the error says to do
	}{
		{"no directory", func(t *testing.T, path string) string {
			return filepath.Join(filepath.Dir(path), "missing", "audit.jsonl")
		}, sink.ErrConfig, "create the directory"},
		{"a file for a directory", func(t *testing.T, path string) string {
			return filepath.Join(path, "audit.jsonl")
		}, sink.ErrConfig, "create the directory"},
		{"a directory for a file", func(t *testing.T, path string) string {
			return filepath.Dir(path)
		}, sink.ErrConfig, "configure the path of a file"},
		{"a symbolic link", func(t *testing.T, path string) string {
			link := path + ".link"
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			return link
		}, sink.ErrConfig, "configure the path of a file"},
		{"origin missing", func(t *testing.T, path string) string {
			remove(t, statePath(path))
			return path
		}, sink.ErrForeign, "move the file away"},
		{"origin unreadable", func(t *testing.T, path string) string {
			overwrite(t, statePath(path), []byte("{"))
			return path
		}, sink.ErrForeign, "restore it"},
		{"not an audit file", func(t *testing.T, path string) string {
			overwrite(t, path, []byte("{\"message\":\"hello\"}\n"))
			return path
		}, sink.ErrForeign, "move the file away"},
		{"no position before the row", func(t *testing.T, path string) string {
			overwrite(t, path, []byte("{\"row\":{},\"lsn\":\"0/1\",\"seq\":0}\n"))
			return path
		}, sink.ErrForeign, "move the file away"},
		{"an older copy", func(t *testing.T, path string) string {
			st := state{Origin: sinktest.Origin, Position: events[3].Position}
			if err := writeState(path, st); err != nil {
				t.Fatal(err)
			}
			return path
		}, sink.ErrForeign, "restore the file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			s := open(t, Config{Path: path}, nil)
			write(t, s, events[:3])
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path = tt.prepare(t, path)
			before, _ := os.ReadFile(path)
			refused := newSink(t, Config{Path: path})
			_, err := refused.Open(t.Context(), sinktest.Origin)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Open returned %v, want %v and %q", err, tt.want, tt.text)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the refused file was changed")
			}
		})
	}
}

func TestSecondProcessWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	first := open(t, Config{Path: path}, nil)
	second := newSink(t, Config{Path: path})
	_, err := second.Open(t.Context(), sinktest.Origin)
	if err == nil || !strings.Contains(err.Error(), "another process writes to") ||
		errors.Is(err, sink.ErrConfig) || errors.Is(err, sink.ErrForeign) {
		t.Errorf("Open beside another sink returned %v, want an error that is retried", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Path: path}, nil)
}

// TestOpenAgain opens one sink for another origin, after its files were moved away.
func TestOpenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := open(t, Config{Path: path}, nil)
	write(t, s, pgoutputtest.Events(firstLSN, 1, 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	origin := sinktest.Origin
	origin.Timeline++
	if _, err := s.Open(t.Context(), origin); !errors.Is(err, sink.ErrForeign) {
		t.Fatalf("Open for another timeline returned %v, want %v", err, sink.ErrForeign)
	}
	remove(t, path)
	remove(t, statePath(path))
	position, err := s.Open(t.Context(), origin)
	if err != nil || !position.IsZero() {
		t.Fatalf("Open without a file returned %s, %v, want no position", position, err)
	}
	events := pgoutputtest.Events(firstLSN-0x1000, 1, 1)
	write(t, s, events)
	expect(t, linesOf(t, path), events)
}

func TestWriteNeedsOpen(t *testing.T) {
	s := newSink(t, Config{Path: filepath.Join(t.TempDir(), "audit.jsonl")})
	if err := s.Write(t.Context(), pgoutputtest.Events(firstLSN, 1, 1)); err == nil {
		t.Error("Write before Open returned nil")
	}
}

func joinLines(events []decoder.Event) []byte {
	var text []byte
	for i := range events {
		text = append(text, events[i].Line()...)
	}
	return text
}

func overwrite(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o640); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
