package doctor

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"pgwitness/internal/terminal"
)

var update = flag.Bool("update", false, "write what is compared with: docs/DOCTOR.md and the tables in testdata")

// sample has a check of each status, with what is hard to show.
var sample = &Report{
	Database: "shop", Server: "18.1", Role: "postgres",
	Checks: []Check{
		{"server-version", Setup, OK, "PostgreSQL 18.1", "It matters.", ""},
		{"slot-wal-limit", Setup, Warning, "max_slot_wal_keep_size is unlimited",
			"Without a limit, a consumer that is away fills the server's disk; with a small one, its slot is soon lost, and rows with it.",
			"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();"},
		{"long-transactions", Setup, Unknown, "role witness may not see other roles' transactions", "It matters.",
			"run pgwitness doctor as a member of pg_read_all_stats"},
		{"delete-image", Capture, Problem, "public.custom_audit_trigger_function() looks at NEW alone, which is null in a DELETE",
			"What was deleted cannot be told: the audit row of a DELETE holds nulls.", "pgwitness audit harden --apply"},
		{"time-zone", Capture, Problem, "event_timestamp has no time zone", "Times cannot be compared.", "pgwitness audit harden --apply"},
		{"event-triggers", Capture, Warning, "no event trigger writes public.\"odd\x1b[31m\nname\"", "DDL is not recorded.", "pgwitness audit events --apply"},
		{"mask-key", Security, Skipped, "values are not masked: the schema pgwitness is not installed", "It matters.", ""},
		{"owner-members", Security, OK, "nobody who can log in is a member of the owner of the table, whatever the name of that owner may be in the end",
			"It matters.", ""},
	},
	Summary: Summary{OK: 2, Warnings: 2, Problems: 2, Unknown: 1, Skipped: 1},
}

func TestTable(t *testing.T) {
	for _, width := range []int{80, 160} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			var out bytes.Buffer
			if err := sample.WriteTable(terminal.Terminal{Writer: &out, Columns: func() int { return width }}); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", fmt.Sprintf("table_%d.txt", width)), out.String())
			for line := range strings.Lines(out.String()) {
				if columns := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); columns >= width {
					t.Errorf("%d columns of %d: the last one makes some terminals begin a new line: %s", columns, width, line)
				}
				if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
					t.Errorf("blanks at the end of %q", line)
				}
			}
		})
	}
}

// In a file there are no escape sequences, and on a terminal none but ours.
func TestTableColours(t *testing.T) {
	for _, colours := range []bool{false, true} {
		var out bytes.Buffer
		if err := sample.WriteTable(terminal.Terminal{Writer: &out, Colours: colours}); err != nil {
			t.Fatal(err)
		}
		if found := strings.Contains(out.String(), terminal.Red+"problem"); found != colours {
			t.Errorf("colours %v, in red: %v", colours, found)
		}
		if plain := strings.NewReplacer(terminal.Red, "", terminal.Yellow, "", terminal.Green, "", terminal.Gray, "", terminal.Bold, "", terminal.Reset, "").
			Replace(out.String()); !colours && plain != out.String() || strings.Contains(strings.ReplaceAll(plain, "[31m", ""), "\x1b") {
			t.Errorf("escape sequences in %q", out.String())
		}
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is another; go test ./internal/doctor -update writes it\n got:\n%s\nwant:\n%s", path, got, want)
	}
}

// The ids are what scripts rely on.
func TestDocumentedChecks(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("# The checks of `pgwitness doctor`\n\n" +
		"Written by `go test ./internal/doctor -update` from the checks themselves. The ids stay: with `--json`, scripts can rely on them.\n\n" +
		"A check comes out as `ok`, `warning` (it works, but somebody should know), `problem` (it has to be mended), `unknown` (the role may not\n" +
		"see what it takes) or `skipped` (it does not apply). The exit code is 3 if there is a problem of the set-up, 5 if there is any other,\n" +
		"and otherwise 0.\n")
	ids := map[string]bool{}
	area := Area("")
	for _, c := range checks() {
		if ids[c.id] {
			t.Errorf("two checks are called %s", c.id)
		}
		ids[c.id] = true
		if c.area != area {
			area = c.area
			fmt.Fprintf(&doc, "\n## %s\n\n| Check | What follows if it is not ok |\n|---|---|\n", strings.ToUpper(string(area[:1]))+string(area[1:]))
		}
		fmt.Fprintf(&doc, "| `%s` | %s |\n", c.id, c.why)
	}
	golden(t, filepath.Join("..", "..", "docs", "DOCTOR.md"), doc.String())
}
