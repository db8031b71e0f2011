package file

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink/sinktest"
)

func TestRotateBySize(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 40, 3)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	cfg := Config{Path: path, RotateSize: int64(len(joinLines(events[:10])))}
	s := open(t, cfg, nil)
	for i := 0; i < 100; i += 4 {
		write(t, s, events[i:i+4])
	}
	write(t, s, events[100:]) // larger than a file may be by itself, and kept together
	expect(t, allLines(t, path), events)
	expect(t, linesOf(t, path), events[100:])

	files := namesOf(t, path)
	if len(files) != 13 {
		t.Errorf("%d rotated files, want 13 of 8 events each and the rest", len(files))
	}
	name := regexp.MustCompile(`^audit-\d{8}T\d{6}Z-0-16B3948-1\.jsonl$`)
	if !name.MatchString(files[0]) {
		t.Errorf("the first rotated file is called %s, want %s", files[0], name)
	}
	if !slices.IsSorted(files) {
		t.Errorf("the names do not sort by age: %q", files)
	}
}

func TestRotateByAge(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 5, 1)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	cfg := Config{Path: path, RotateEvery: time.Hour}
	synctest.Test(t, func(t *testing.T) {
		s := open(t, cfg, nil)
		time.Sleep(2 * time.Hour) // synctest's time; an empty file is not rotated
		write(t, s, events[:1])
		if got := namesOf(t, path); len(got) != 0 {
			t.Errorf("rotated an empty file: %q", got)
		}
		write(t, s, events[1:2])
		if got := namesOf(t, path); len(got) != 1 {
			t.Fatalf("%d rotated files, want the one that was begun two hours ago", len(got))
		}
		time.Sleep(59 * time.Minute)
		write(t, s, events[2:3])
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		// The age counts on over a restart.
		s = open(t, cfg, events[:3])
		time.Sleep(time.Minute)
		write(t, s, events[3:4])
		if got := namesOf(t, path); len(got) != 2 {
			t.Fatalf("%d rotated files, want a second one after an hour", len(got))
		}
		expect(t, linesOf(t, path), events[3:4])
		expect(t, allLines(t, path), events[:4])
	})
}

// TestRotationKilled lays out what a process killed between two steps of rotate leaves.
func TestRotationKilled(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 10, 2)
	steps := []struct {
		name string
		do   func(t *testing.T, path string)
	}{
		{"before the state", func(t *testing.T, path string) {}},
		{"while the state is written", func(t *testing.T, path string) {
			overwrite(t, statePath(path)+".tmp", []byte(`{"system_id":"73409`))
		}},
		{"before the rename", func(t *testing.T, path string) {
			if err := writeState(path, state{Origin: sinktest.Origin, Position: events[9].Position, Begun: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}},
		{"before the new file", func(t *testing.T, path string) {
			rename(t, path, rotatedName(path, time.Now().UTC(), events[9].Position))
		}},
		{"before the first write", func(t *testing.T, path string) { overwrite(t, path, nil) }},
		{"in the first write", func(t *testing.T, path string) { overwrite(t, path, events[10].Line()[:50]) }},
	}
	for n, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			cfg := Config{Path: path, RotateSize: int64(len(joinLines(events[:10])))}
			s := open(t, cfg, nil)
			write(t, s, events[:10])
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, done := range steps[:n+1] {
				done.do(t, path)
			}
			s = open(t, cfg, events[:10])
			write(t, s, events[10:])
			expect(t, allLines(t, path), events)
			expect(t, linesOf(t, path), events[10:])
		})
	}
}

// TestRotationFails makes the rename impossible for a while.
func TestRotationFails(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 10, 1)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := open(t, Config{Path: path, RotateSize: 1}, nil)
	write(t, s, events[:1])
	if err := os.Mkdir(statePath(path)+".tmp", 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Write(t.Context(), events[1:2]); err == nil {
			t.Fatal("Write returned nil though the rotation before it failed")
		}
	}
	remove(t, statePath(path)+".tmp")
	write(t, s, events[1:2])
	expect(t, allLines(t, path), events[:2])
	expect(t, linesOf(t, path), events[1:2])
}

func TestCompress(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 30, 3)
	for _, tt := range []struct{ compress, ext string }{{"none", ""}, {"gzip", ".gz"}, {"zstd", ".zst"}} {
		t.Run(tt.compress, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			cfg := Config{Path: path, RotateSize: int64(len(joinLines(events[:10]))), Compress: tt.compress, Keep: 6}
			s := open(t, cfg, nil)
			for i := 0; i < 60; i += 10 {
				write(t, s, events[i:i+10])
			}
			finish(t, s)
			expect(t, allLines(t, path), events[:60])
			onlyCompressed(t, path, tt.ext, 5)

			// What an earlier process left: a rotated file, one that is there in both forms, and a broken temporary file.
			both := namesOf(t, path)[4]
			text := joinLines(events[40:50])
			overwrite(t, filepath.Join(filepath.Dir(path), both[:len(both)-len(tt.ext)]), text)
			overwrite(t, path+".archive.tmp", []byte("torn"))
			rename(t, path, rotatedName(path, time.Now().UTC().Add(time.Second), events[59].Position))
			if err := writeState(path, state{Origin: sinktest.Origin, Position: events[59].Position}); err != nil {
				t.Fatal(err)
			}
			s = open(t, cfg, events[:60])
			finish(t, s)
			expect(t, allLines(t, path), events[:60])
			onlyCompressed(t, path, tt.ext, 6)
		})
	}
}

func TestKeep(t *testing.T) {
	// The LSN gets a digit more on the way: within one second, names sort in another order than the files.
	events := pgoutputtest.Events(0xFFFD00, 10, 1)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	strangers := []string{
		"audit-2026.jsonl", "audit-20261123T083000Z-0-16B3748-7.jsonl.bak", "other-20261123T083000Z-0-16B3748-7.jsonl",
		"audit-20261123T083000Z-0-16B3748-7.json", "audit-20261123T083000Z-0-16b3748-7.jsonl",
	}
	for _, name := range strangers {
		overwrite(t, filepath.Join(filepath.Dir(path), name), []byte("not ours"))
	}
	s := open(t, Config{Path: path, RotateSize: 1, Keep: 3, Compress: "gzip"}, nil)
	for i := range events {
		write(t, s, events[i:i+1])
	}
	finish(t, s)
	expect(t, allLines(t, path), events[6:])
	for _, name := range strangers {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err != nil {
			t.Errorf("a file that is not ours is gone: %v", err)
		}
	}
}

// TestKeepByAge keeps the newest files also when the clock was set back, and beside those of a former cluster whose
// positions are larger.
func TestKeepByAge(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 3, 1)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	former := rotatedName(path, time.Now().UTC().Add(-time.Hour), decoder.Position{LSN: 1 << 40})
	overwrite(t, former, []byte("{}\n"))
	begun := time.Now().UTC().Add(time.Hour)
	if err := writeState(path, state{Origin: sinktest.Origin, Begun: begun}); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Path: path, RotateSize: 1, Keep: 1}, nil)
	for i := range events {
		write(t, s, events[i:i+1])
	}
	finish(t, s)
	want := filepath.Base(rotatedName(path, begun, events[1].Position))
	if got := namesOf(t, path); !slices.Equal(got, []string{want}) {
		t.Errorf("kept %q, want %q", got, want)
	}
}

// finish waits until the archiver has done all it was asked for, and closes the sink.
func finish(t *testing.T, s *Sink) {
	t.Helper()
	// Two empty places in a channel of one: the rounds asked for before the last have been begun, and the last as well.
	for range 2 {
		s.archiver.wakeup <- struct{}{}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func namesOf(t *testing.T, path string) []string {
	t.Helper()
	files, err := listRotated(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f.name+f.compressed))
	}
	return names
}

func onlyCompressed(t *testing.T, path, ext string, count int) {
	t.Helper()
	files, err := listRotated(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != count {
		t.Errorf("%d rotated files, want %d: %q", len(files), count, namesOf(t, path))
	}
	for _, f := range files {
		if f.compressed != ext {
			t.Errorf("%s%s is not compressed as %q", f.name, f.compressed, ext)
		}
	}
}
