package file

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink/sinktest"
)

// TestTornTail leaves every part of the last line behind, as a killed process or a power loss does.
func TestTornTail(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 2, 2)
	whole := joinLines(events[:3])
	last := events[3].Line()
	for _, tt := range []struct {
		name string
		step int                // between the values of n that are tried
		tear func(n int) []byte // what follows the whole lines, made of the first n bytes of the last one
	}{
		{"cut short", 1, func(n int) []byte { return last[:n] }},
		{"filled with zeros", 1, func(n int) []byte { return append(bytes.Clone(last[:n]), make([]byte, len(last)-n)...) }},
		{"zeros for a page", 7, func(n int) []byte { return append(bytes.Clone(last[:n]), make([]byte, 4096)...) }},
		{"with a newline", 1, func(n int) []byte { return append(bytes.Clone(last[:n]), '\n') }},
		{"begun with zeros", 7, func(n int) []byte { return append(make([]byte, n+1), last[min(n+1, len(last)):]...) }},
		{"a whole line behind a hole", 7, func(n int) []byte {
			hole := bytes.Clone(last)
			hole[min(n, len(last)-1)] = 0
			return append(hole, last...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := writeState(path, state{Origin: sinktest.Origin}); err != nil {
				t.Fatal(err)
			}
			for n := 0; n < len(last)-1; n += tt.step {
				overwrite(t, path, slices.Concat(whole, tt.tear(n)))
				s := open(t, Config{Path: path}, events[:3])
				expect(t, linesOf(t, path), events[:3])
				write(t, s, events[3:])
				expect(t, linesOf(t, path), events)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestLastLine places the end of the file in every way around the window that Open reads and the blocks it reads it in.
func TestLastLine(t *testing.T) {
	line := func(n int) []byte { // n bytes long
		return append(append([]byte(`{"x":"`), bytes.Repeat([]byte{'y'}, n-9)...), "\"}\n"...)
	}
	for _, tt := range []struct {
		name       string
		text       []byte
		start, end int
	}{
		{"empty", nil, 0, 0},
		{"one line", line(20), 0, 20},
		{"only a torn line", line(20)[:19], 0, 0},
		{"empty line", []byte("{}\n\n"), 0, 3},
		{"not an object", []byte("{}\n[]\n"), 0, 3},
		{"two objects", []byte("{}\n{}{}\n"), 0, 3},
		{"text behind", []byte("{}\n{} \n"), 0, 3},
		{"brackets and quotes in strings", []byte("{}\n{\"a\":\"}]\\\"\\\\\",\t\"b\":[{}]}\n"), 3, 28},
		{"unclosed string", []byte("{}\n{\"a}\n"), 0, 3},
		{"unclosed list", []byte("{}\n{\"a\":[}\n"), 0, 3},
		{"line ends with a block", slices.Concat(line(readSize), line(readSize)), readSize, 2 * readSize},
		{"line ends behind a block", slices.Concat(line(readSize+1), line(readSize)), readSize + 1, 2*readSize + 1},
		{"torn line of the whole window", slices.Concat(line(20), line(30), line(maxUnsynced + 1)[:maxUnsynced]), 20, 50},
		{"torn line from before the window", slices.Concat(line(20), line(30), line(maxUnsynced + 100)[:maxUnsynced+10]), 20, 50},
		{"line from before the window", slices.Concat(line(20), line(maxUnsynced+10)), 20, 20 + maxUnsynced + 10},
		{"line from before the window and a torn one", slices.Concat(line(20), line(maxUnsynced), line(50)[:40]), 20, 20 + maxUnsynced},
		{"hole before the window is not looked for", slices.Concat([]byte{0, '\n'}, line(maxUnsynced)), 2, 2 + maxUnsynced},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start, end, err := lastLine(bytes.NewReader(tt.text), int64(len(tt.text)))
			if err != nil || start != int64(tt.start) || end != int64(tt.end) {
				t.Errorf("lastLine returned %d, %d, %v, want %d, %d", start, end, err, tt.start, tt.end)
			}
		})
	}
}

// TestHugeLastLine finds the position in a line of 128 MiB, and cuts it when it is torn, in little memory.
func TestHugeLastLine(t *testing.T) {
	const size, limit = 128 << 20, 2 << 20
	events := pgoutputtest.Events(firstLSN, 2, 1)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := writeState(path, state{Origin: sinktest.Origin}); err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, events[0].Line())
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// The second event, with a long string in its row.
	head, tail, _ := bytes.Cut(events[1].Line(), []byte(`"app"`))
	parts := []io.Reader{bytes.NewReader(head), bytes.NewReader([]byte{'"'})}
	block := bytes.Repeat([]byte{'x'}, 1<<20)
	for range size / len(block) {
		parts = append(parts, bytes.NewReader(block))
	}
	parts = append(parts, bytes.NewReader([]byte{'"'}), bytes.NewReader(tail))
	if _, err := io.Copy(file, io.MultiReader(parts...)); err != nil {
		t.Fatal(err)
	}

	opens := func(held int) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := open(t, Config{Path: path}, events[:held])
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > limit {
			t.Errorf("Open allocated %d bytes, want at most %d", got, limit)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	opens(2)
	if err := os.Truncate(path, int64(len(events[0].Line()))+size/2); err != nil {
		t.Fatal(err)
	}
	opens(1)
	expect(t, linesOf(t, path), events[:1])
}

// TestLongKey finds the position behind an id that is as long as a primary key may get.
func TestLongKey(t *testing.T) {
	text := slices.Concat([]byte(`{"id":"`), bytes.Repeat([]byte{'k'}, 1<<20), []byte(`-00","kind":"audit","lsn":"1/2","seq":3,"row":{}}`), []byte{'\n'})
	position, err := linePosition(bytes.NewReader(text), 0, int64(len(text)))
	if err != nil || position.String() != "1/2/3" {
		t.Errorf("linePosition returned %s, %v, want 1/2/3", position, err)
	}
}
