//go:build failpoints

package file

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestKilledAtFailpoint kills the writing process at each named place, several times in a row, and then lets it finish.
func TestKilledAtFailpoint(t *testing.T) {
	for _, name := range []string{
		"file.before-write", "file.mid-write", "file.after-write", "file.after-fsync",
		"file.rotate.1", "file.rotate.2", "file.rotate.3", "file.rotate.4",
		"file.archive.1", "file.archive.2", "file.archive.3",
	} {
		for turn := range 3 {
			armed := fmt.Sprintf("%s:%d", name, turn+1)
			t.Run(armed, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "audit.jsonl")
				for run := range 4 {
					child := startChild(t, path, armed)
					if killed := child.wait(); !killed && run == 0 {
						t.Fatalf("not killed: %s", &child.stderr)
					}
					child.check(t, path)
				}
				child := startChild(t, path, "")
				if killed := child.wait(); killed {
					t.Fatal("killed by somebody else")
				}
				child.check(t, path)
				expect(t, allLines(t, path), childEvents())
			})
		}
	}
}
