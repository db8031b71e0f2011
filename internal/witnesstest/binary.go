// Package witnesstest runs the real pgwitness binary as a child process, against a database that holds the seed's audit
// table and, if wanted, behind a network that fails.
//
// A package that uses it has this TestMain:
//
//	func TestMain(m *testing.M) { witnesstest.Main(m) }
package witnesstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"pgwitness/internal/embeddedpg/pgtest"
)

// Main runs a package's tests and removes the binary that they built.
func Main(m *testing.M) {
	pgtest.Main(m, goleak.Cleanup(func(code int) {
		if binary.dir != "" {
			if err := os.RemoveAll(binary.dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		os.Exit(code)
	}))
}

var binary struct {
	once sync.Once
	dir  string // set by once; removed by Main
	err  error
}

// Binary builds the command with the tag "failpoints", once a test process, and returns its path.
func Binary(tb testing.TB) string {
	tb.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "pgwitness-binary-*"); binary.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", "failpoints", "-o", binaryPath(), "pgwitness/cmd/pgwitness")
		if output, err := cmd.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("%w: %s", err, output)
		}
	})
	if binary.err != nil {
		tb.Fatalf("building the binary: %v", binary.err)
	}
	return binaryPath()
}

func binaryPath() string {
	name := "pgwitness"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(binary.dir, name)
}
