package stdout

import (
	"errors"
	"os"
	"testing"

	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink"
)

// TestFailedFsync writes to a regular file that takes bytes and has no fsync: nobody can write to standard output what was
// lost there.
func TestFailedFsync(t *testing.T) {
	const path = "/proc/self/comm" // the process's name
	name, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, name, 0); err != nil {
			t.Error(err)
		}
	})
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := opened(t, file)
	if err := s.Write(t.Context(), pgoutputtest.Events(firstLSN, 1, 1)); !errors.Is(err, sink.ErrClosed) {
		t.Errorf("Write returned %v though its fsync failed, want %v", err, sink.ErrClosed)
	}
}

// TestFullDisk writes to a device that is always full.
func TestFullDisk(t *testing.T) {
	file, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := opened(t, file)
	if err := s.Write(t.Context(), pgoutputtest.Events(firstLSN, 1, 1)); sink.Reason(err) != "no_space" || errors.Is(err, sink.ErrClosed) {
		t.Errorf("Write returned %v, want an error that is retried for want of space", err)
	}
}
