package embeddedpg_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
)

type parentReport struct {
	Port    int
	DataDir string
	Failure string
}

// runParent is a program that starts a server and then hangs.
func runParent() {
	if embeddedpg.RunChild() {
		return
	}
	var r parentReport
	server, err := embeddedpg.Start(context.Background(), embeddedpg.Config{})
	if err != nil {
		r.Failure = err.Error()
	} else {
		r.Port, r.DataDir = server.Port(), server.DataDir()
	}
	json.NewEncoder(os.Stdout).Encode(r)
	io.Copy(io.Discard, os.Stdin)
}

func TestParentKilled(t *testing.T) {
	for _, mode := range []fs.FileMode{0o755, 0o700} {
		// As root, an executable that only its owner may execute is no use to the user the server runs under.
		t.Run(fmt.Sprintf("executable %o", mode), func(t *testing.T) {
			t.Parallel()
			parent, r := startParent(t, mode)
			if err := dial(r.Port); err != nil {
				t.Fatal(err)
			}
			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			parent.Wait()
			waitFor(t, "the server's end", func() bool { return dial(r.Port) != nil })
			waitFor(t, "the removal of its directory", func() bool { return absent(filepath.Dir(r.DataDir)) })
		})
	}
}

// startParent runs a copy of the test binary, below a directory that nobody else can enter, as go test has it.
func startParent(t *testing.T, mode fs.FileMode) (*exec.Cmd, parentReport) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.Chmod(filepath.Dir(filepath.Dir(path)), 0o700); err != nil {
		t.Fatal(err)
	}
	// A process forked in between would hold the file open for writing, and what is written to cannot be executed.
	syscall.ForkLock.RLock()
	err = os.WriteFile(path, content, mode)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(path)
	parent.Env = append(os.Environ(), programEnv+"=parent")
	parent.Stderr = os.Stderr
	stdin, err := parent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		parent.Wait()
	})
	var r parentReport
	if err := json.NewDecoder(stdout).Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Failure != "" {
		t.Fatal(r.Failure)
	}
	return parent, r
}

func absent(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// waitFor polls for what another process does, of which there is no event to wait for.
func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !happened() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("waited 30 s in vain for %s", what)
		}
	}
}
