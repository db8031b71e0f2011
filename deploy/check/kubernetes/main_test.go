package kubernetes

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tools holds the programs that tests run, each made by the first that asks for it.
var tools string

// TestMain keeps Helm from telling of each symbolic link in the chart, and removes what tests share.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	if err := os.RemoveAll(tools); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// installed returns the path of a program, which the command that install returns puts into a directory.
func installed(t *testing.T, name string, install func(dir string) *exec.Cmd) string {
	t.Helper()
	if tools == "" {
		dir, err := os.MkdirTemp("", "pgwitness-tools-")
		if err != nil {
			t.Fatal(err)
		}
		tools = dir
	}
	path := filepath.Join(tools, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if out, err := install(tools).CombinedOutput(); err != nil {
		t.Fatalf("installing %s: %v\n%s", name, err, out)
	}
	return path
}
