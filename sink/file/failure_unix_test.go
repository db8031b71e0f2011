//go:build unix

package file

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink"
	"pgwitness/sink/sinktest"
)

// TestNoSpace fills the disk: the limit on the size of a process's files makes write(2) take a part and then fail, as a
// full disk does, and needs neither a mount nor root. (It holds for the whole process, so no test may run beside it.)
func TestNoSpace(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 1000, 3)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := open(t, Config{Path: path}, nil)
	write(t, s, events[:10])

	room := int64(len(joinLines(events[:2000]))) + 100 // in the middle of a line
	mend := limitFileSize(t, uint64(room))
	for attempt := range 3 {
		err := s.Write(t.Context(), events[10:])
		if got := sink.Reason(err); got != "no_space" {
			t.Fatalf("attempt %d: Write returned %v for %q, want no_space", attempt, err, got)
		}
		// What fits is kept and made durable, so that a retry writes only the rest.
		if s.position != events[1999].Position {
			t.Errorf("attempt %d: the sink stands at %s, want %s", attempt, s.position, events[1999].Position)
		}
	}
	mend()
	write(t, s, events[10:])
	expect(t, linesOf(t, path), events)
}

// TestNoSpaceAtRestart restarts while the disk is full.
func TestNoSpaceAtRestart(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 1000, 3)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	mend := limitFileSize(t, uint64(len(joinLines(events[:2000])))+100)
	s := open(t, Config{Path: path}, nil)
	if err := s.Write(t.Context(), events); sink.Reason(err) != "no_space" {
		t.Fatalf("Write returned %v, want no_space", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Path: path}, events[:2000])
	mend()
	write(t, s, events)
	expect(t, linesOf(t, path), events)
}

// limitFileSize sets the limit until the returned function, or the end of the test, lifts it.
func limitFileSize(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(limit unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	lift = func() { set(before) }
	t.Cleanup(lift)
	set(unix.Rlimit{Cur: size, Max: before.Max})
	return lift
}

// TestPermission takes the permission for the directory away and gives it back.
func TestPermission(t *testing.T) {
	if asOrdinaryUser(t) {
		return
	}
	events := pgoutputtest.Events(firstLSN, 4, 1)
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { chmod(t, dir, 0o755) }) // or the directory cannot be removed
	path := filepath.Join(dir, "audit.jsonl")

	chmod(t, dir, 0o555)
	_, err := newSink(t, Config{Path: path}).Open(t.Context(), sinktest.Origin)
	if !errors.Is(err, sink.ErrConfig) || !strings.Contains(err.Error(), "let the user") {
		t.Errorf("Open in a read-only directory returned %v, want %v and what to do", err, sink.ErrConfig)
	}
	chmod(t, dir, 0o755)

	s := open(t, Config{Path: path, RotateSize: int64(len(joinLines(events[:2])))}, nil)
	write(t, s, events[:1])
	for _, mode := range []os.FileMode{0, 0o555} { // no access at all, no rename
		chmod(t, dir, mode)
		for range 2 {
			if err := s.Write(t.Context(), events[1:4]); sink.Reason(err) != "permission" {
				t.Fatalf("with mode %o Write returned %v, want a permission error", mode, err)
			}
		}
	}
	chmod(t, dir, 0o755)
	write(t, s, events[1:4])
	expect(t, allLines(t, path), events)
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// asOrdinaryUser runs the calling test once more, in a process that permissions hold for, if they do not for this one. It
// returns whether it did.
func asOrdinaryUser(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return false
	}
	// The test binary may lie where only root can open it; /proc/self/exe needs no search permission.
	self := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		self = os.Args[0]
	}
	temp, err := os.MkdirTemp("", "pgwitness-file-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	const nobody = 65534
	if err := os.Chown(temp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.v", "-test.run=^"+regexp.QuoteMeta(t.Name())+"$")
	cmd.Dir = temp
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Errorf("as an ordinary user: %v\n%s", err, output)
	}
	return true
}

// TestFailedFsync gives the sink a descriptor whose fsync fails, and lets the file show lines that look as if they had been
// written all the same: so does the page cache after a failed fsync, of lines that may never reach the disk. To tell them
// from those that must be written anew, they name another user.
func TestFailedFsync(t *testing.T) {
	events := pgoutputtest.Events(firstLSN, 4, 1)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := open(t, Config{Path: path}, nil)
	write(t, s, events[:2])

	reader, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	s.file = pipe
	cached := bytes.ReplaceAll(joinLines(events), []byte(`"app"`), []byte(`"abc"`))
	if err := s.Write(during(t, func() { overwrite(t, path, cached) }), events[2:]); sink.Reason(err) != "other" {
		t.Fatalf("Write returned %v though its fsync failed", err)
	}
	if s.position != events[1].Position {
		t.Errorf("the sink stands at %s, want %s", s.position, events[1].Position)
	}
	write(t, s, events[2:])
	expect(t, linesOf(t, path)[2:], events[2:])
}
