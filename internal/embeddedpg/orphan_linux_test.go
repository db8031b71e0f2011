package embeddedpg_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
)

// TestChildKilled kills the process that owns the server, as killall and the kernel's OOM killer may do.
func TestChildKilled(t *testing.T) {
	server, err := embeddedpg.Start(t.Context(), embeddedpg.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	content, err := os.ReadFile(filepath.Join(server.DataDir(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var postmaster, child int
	if _, err := fmt.Sscan(string(content), &postmaster); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", postmaster))
	if err != nil {
		t.Fatal(err)
	}
	_, fromPPid, _ := strings.Cut(string(status), "\nPPid:")
	if _, err := fmt.Sscan(fromPPid, &child); err != nil {
		t.Fatal(err)
	}

	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server's end", func() bool { return syscall.Kill(postmaster, 0) == syscall.ESRCH })
	if err := server.Close(); err == nil {
		t.Error("no error from Close")
	}
	pgtest.Start(t, embeddedpg.Config{})
	if !absent(filepath.Dir(server.DataDir())) {
		t.Errorf("%s was not removed by the next start", filepath.Dir(server.DataDir()))
	}
}
