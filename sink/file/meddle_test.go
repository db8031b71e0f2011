package file

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink"
	"pgwitness/sink/sinktest"
)

// TestMovedBetweenWrites is a log rotation by somebody else: what comes next goes to a new file, and a restart knows the
// position although that file may still be empty.
func TestMovedBetweenWrites(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 5, 2)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	moved := path + ".1"
	for _, tt := range []struct {
		name string
		move func(t *testing.T)
		held int // how many events the moved file holds
	}{
		{"moved", func(t *testing.T) { rename(t, path, moved) }, 4},
		{"moved and made anew", func(t *testing.T) { rename(t, path, moved); overwrite(t, path, nil) }, 4},
		{"removed", func(t *testing.T) { remove(t, path) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Cleanup(func() {
				for _, name := range []string{path, moved, statePath(path)} {
					_ = os.Remove(name)
				}
			})
			s := open(t, Config{Path: path}, nil)
			write(t, s, events[:4])
			tt.move(t)
			write(t, s, events[4:6])
			expect(t, linesOf(t, moved), events[:tt.held])
			expect(t, linesOf(t, path), events[4:6])

			remove(t, path)
			write(t, s, events[6:])
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			overwrite(t, path, nil)
			s = open(t, Config{Path: path}, events[:6]) // the last that was known to be in another file
			write(t, s, events[6:])
			expect(t, linesOf(t, path), events[6:])
		})
	}
}

// TestMovedDuringWrite takes the file away between write and fsync: nothing may be called durable that lies in a file that
// the path does not name.
func TestMovedDuringWrite(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 5, 2)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := open(t, Config{Path: path}, nil)
	write(t, s, events[:4])
	if err := s.Write(during(t, func() { remove(t, path) }), events[4:6]); err == nil {
		t.Fatal("Write returned nil for events in a file that was removed")
	}
	write(t, s, events[4:6])
	expect(t, linesOf(t, path), events[4:6])
}

// TestDirectoryReplaced puts a new directory in the place of the file's, in which another process is quicker.
func TestDirectoryReplaced(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 5, 2)
	dir := filepath.Join(t.TempDir(), "audit")
	path := filepath.Join(dir, "audit.jsonl")
	mkdir(t, dir)
	s := open(t, Config{Path: path}, nil)
	write(t, s, events[:4])
	rename(t, dir, dir+".away")
	mkdir(t, dir)
	other := open(t, Config{Path: path}, nil)
	if err := s.Write(t.Context(), events[4:]); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("Write beside another process returned %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, s, events[4:])
	expect(t, linesOf(t, path), events[4:])
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestChanged cuts and grows the file under the sink, between the writes and in the middle of one.
func TestChanged(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 5, 2)
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, path string)
	}{
		{"emptied", func(t *testing.T, path string) { truncate(t, path, 0) }},
		{"cut", func(t *testing.T, path string) { truncate(t, path, 100) }},
		{"appended to", func(t *testing.T, path string) {
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = file.WriteString("{}\n")
			if err := errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, midway := range []bool{false, true} {
			name := tt.name + " between writes"
			if midway {
				name = tt.name + " during a write"
			}
			t.Run(name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "audit.jsonl")
				s := open(t, Config{Path: path}, nil)
				write(t, s, events[:4])
				ctx := t.Context()
				if midway {
					ctx = during(t, func() { tt.change(t, path) })
				} else {
					tt.change(t, path)
				}
				if err := s.Write(ctx, events[4:6]); !errors.Is(err, sink.ErrForeign) {
					t.Fatalf("Write returned %v, want %v", err, sink.ErrForeign)
				}
			})
		}
	}
}

// TestDamaged overwrites confirmed events, which a retry must not take for a torn tail of its own.
func TestDamaged(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 5, 2)
	for _, line := range []int{0, 3} {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		s := open(t, Config{Path: path}, nil)
		write(t, s, events[:4])
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Write(&hookedContext{Context: ctx, at: 2, hook: cancel}, events[4:]); !errors.Is(err, context.Canceled) {
			t.Fatalf("Write returned %v, want %v", err, context.Canceled)
		}
		damaged := joinLines(events[:4])
		damaged[len(joinLines(events[:line]))+20] = 0
		overwrite(t, path, damaged)
		if err := s.Write(t.Context(), events[4:]); !errors.Is(err, sink.ErrForeign) {
			t.Errorf("line %d: Write behind damaged events returned %v, want %v", line, err, sink.ErrForeign)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, damaged) {
			t.Errorf("line %d: the damaged file was changed (%v)", line, err)
		}
	}
}

// TestReplaced puts another file in the place of the one that was written.
func TestReplaced(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 5, 2)
	for _, tt := range []struct {
		name string
		text []byte
		want error
	}{
		{"with a copy", joinLines(events[:4]), nil},
		{"with a copy that has more", joinLines(events[:5]), nil},
		{"with an older copy", joinLines(events[:3]), sink.ErrForeign},
		{"with something else", []byte("hello\nworld\n"), sink.ErrForeign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			s := open(t, Config{Path: path}, nil)
			write(t, s, events[:4])
			overwrite(t, path+".new", tt.text)
			rename(t, path+".new", path)
			err := s.Write(t.Context(), events[4:6])
			if !errors.Is(err, tt.want) {
				t.Fatalf("Write returned %v, want %v", err, tt.want)
			}
			want := tt.text
			if tt.want == nil {
				want = joinLines(events[:6])
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("the file holds %q (%v), want %q", got, err, want)
			}
		})
	}
}

// TestCanceledInTheMiddle stops between two chunks of a batch.
func TestCanceledInTheMiddle(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 2000, 1)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, restart := range []bool{false, true} {
		s := open(t, Config{Path: path}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Write(&hookedContext{Context: ctx, at: 3, hook: cancel}, events); !errors.Is(err, context.Canceled) {
			t.Fatalf("Write returned %v, want %v", err, context.Canceled)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Size() > chunkSize {
			t.Fatalf("the file is %v (%v), want one chunk in it", info, err)
		}
		if restart {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = newSink(t, Config{Path: path})
			position, err := s.Open(t.Context(), sinktest.Origin)
			if err != nil || position.IsZero() {
				t.Fatalf("Open returned %s, %v, want the last whole line of the chunk", position, err)
			}
		}
		write(t, s, events)
		expect(t, linesOf(t, path), events)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		remove(t, path)
		remove(t, statePath(path))
	}
}

// TestUnsynced watches a large batch: never may more be unsynced than Open looks through.
func TestUnsynced(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 20000, 6)
	if size := len(joinLines(events)); size < maxUnsynced+chunkSize {
		t.Fatalf("%d bytes of events are too few", size)
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := open(t, Config{Path: path}, nil)
	limit := int64(maxUnsynced + len(events[0].Line()))
	ctx := &hookedContext{Context: t.Context(), at: 2, every: true, hook: func() {
		info, err := os.Stat(path)
		if err != nil || info.Size()-s.size > limit {
			t.Errorf("%d bytes may be unsynced (%v), want at most %d", info.Size()-s.size, err, limit)
		}
	}}
	if err := s.Write(ctx, events); err != nil {
		t.Fatal(err)
	}
	expect(t, linesOf(t, path), events)
}

// during is a context that runs hook while Write is at work: after it made sure of the file, before the first chunk.
func during(t *testing.T, hook func()) context.Context {
	return &hookedContext{Context: t.Context(), at: 2, hook: hook}
}

// hookedContext runs hook the at-th time that it is asked whether it is done, and every time after that if so told. Write
// asks once at its beginning and before each chunk.
type hookedContext struct {
	context.Context
	at    int
	every bool
	hook  func()
}

func (c *hookedContext) Err() error {
	if c.at--; c.at == 0 || c.every && c.at < 0 {
		c.hook()
	}
	return c.Context.Err()
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}
