package metrics

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/METRICS.md")

// docs/METRICS.md says what the definitions say.
func TestDocument(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("# The metrics of pgwitness\n\n" +
		"Written by `go test ./internal/metrics -update` from the definitions that `/metrics` is made of. Names and labels stay; more may be added.\n\n" +
		"Units are bytes, seconds and Unix time. What is not known is absent rather than 0, as the slot is before it was read. No label takes\n" +
		"values that others choose, but for `table` and `user`, which are off unless `metrics.tables` and `metrics.users` say how many there may be.\n" +
		"With two sinks, and 25 tables and 25 users, there are some 330 series in all.\n" +
		"Beside these there are those of the Go runtime (`go_…`) and of the process (`process_…`).\n")
	area := ""
	for _, d := range definitions {
		if d.Area != area {
			area = d.Area
			fmt.Fprintf(&doc, "\n## %s\n\n| Metric | Type | Labels | What it means | What to do |\n|---|---|---|---|---|\n", area)
		}
		labels := ""
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "` `") + "`"
		}
		fmt.Fprintf(&doc, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Type, labels, d.Meaning, d.Action)
	}
	path := filepath.Join("..", "..", "docs", "METRICS.md")
	if *update {
		if err := os.WriteFile(path, []byte(doc.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != doc.String() {
		t.Errorf("%s is another than what the definitions say; go test ./internal/metrics -update writes it:\n%s", path, doc.String())
	}
}
