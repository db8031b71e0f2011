package decoder_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgwitness/decoder"
)

// golden is a transcript of what a real server sent, and what it decodes to. The recorder is in internal/oracle.
type golden struct {
	name     string
	messages [][]byte
	lines    string
}

// goldens reads testdata, a directory for each version of the server. A .pgoutput file has one message a line, as a Go
// string, and comments after #; the .jsonl file beside it has the events.
func goldens(tb testing.TB) []golden {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*/*.pgoutput")
	if err != nil {
		tb.Fatal(err)
	}
	var all []golden
	for _, path := range paths {
		base := strings.TrimSuffix(path, ".pgoutput")
		g := golden{name: strings.TrimPrefix(filepath.ToSlash(base), "testdata/")}
		text, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, len(text)+1)
		for n := 1; lines.Scan(); n++ {
			if line := lines.Text(); line != "" && line[0] != '#' {
				message, err := strconv.Unquote(line)
				if err != nil {
					tb.Fatalf("%s:%d: %v", path, n, err)
				}
				g.messages = append(g.messages, []byte(message))
			}
		}
		expected, err := os.ReadFile(base + ".jsonl")
		if err != nil {
			tb.Fatal(err)
		}
		g.lines = string(expected)
		all = append(all, g)
	}
	return all
}

// TestGoldens replays what real servers of all versions sent.
func TestGoldens(t *testing.T) {
	all := goldens(t)
	if len(all) == 0 {
		t.Fatal("testdata has no transcripts")
	}
	for _, g := range all {
		t.Run(g.name, func(t *testing.T) {
			d := decoder.New(seedConfig)
			var batch decoder.Batch
			transactions := 0
			for i, m := range g.messages {
				result, err := d.Decode(m, &batch)
				if err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				if result.Boundary == decoder.Commit {
					transactions++
				}
			}
			var got strings.Builder
			for i := range batch.Events {
				got.Write(batch.Events[i].Line())
				parse(t, batch.Events[i].Line())
			}
			if got.String() != g.lines {
				t.Errorf("\n got %s\nwant %s", &got, g.lines)
			}
			if transactions == 0 || d.InTransaction() {
				t.Errorf("%d transactions ended, one is open: %t", transactions, d.InTransaction())
			}
		})
	}
}
