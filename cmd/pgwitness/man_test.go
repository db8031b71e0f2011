package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestManPages(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dir := filepath.Join(t.TempDir(), "man1")
	var stdout, stderr bytes.Buffer
	if code := execute(t.Context(), newRootCommand(), []string{"man", dir}, &stdout, &stderr); code != exitDone || stdout.Len()+stderr.Len() > 0 {
		t.Fatalf("exit code %d: %s%s", code, &stdout, &stderr)
	}
	pages, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	root := newRootCommand()
	addCompletionCommand(root)
	wanted := 0
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		wanted++
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			return
		}
		page := string(text)
		for _, want := range []string{`"Nov 2023"`, ".SH NAME\n", ".SH OPTIONS\n.TP\n", ".SH EXIT STATUS\n.TP\n.B 0\n", "\n.SH SEE ALSO\n"} {
			if strings.Count(page, want) != 1 {
				t.Errorf("%s: %q is there %d times", name, want, strings.Count(page, want))
			}
		}
		if cmd.HasExample() && !strings.Contains(page, ".SH EXAMPLE\n") {
			t.Errorf("%s: no example", name)
		}
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "\t") { // which groff takes for a stop of a table
				t.Errorf("%s: a tab: %q", name, line)
			}
		}
		for _, child := range cmd.Commands() {
			if child.IsAvailableCommand() && child.Name() != "help" {
				check(child)
			}
		}
	}
	check(root)
	if len(pages) != wanted {
		t.Errorf("%d pages of %d commands", len(pages), wanted)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pgwitness-tail.1"))
	if want := ".TP\n\\fB\\-n, \\-\\-last\\fR \\fIN\\fR\nbegin with the last N events"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%v: no %q in\n%s", err, want, text)
	}
}

func TestManWantsADirectory(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := execute(t.Context(), newRootCommand(), []string{"man"}, &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "want one directory") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}

// Every command for people has a help with an example that begins with its own name.
func TestHelpHasExamples(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.IsAvailableCommand() && !cmd.HasSubCommands() && cmd.Name() != "help" && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s: its example is %q", cmd.CommandPath(), cmd.Example)
		}
		for _, child := range cmd.Commands() {
			check(child)
		}
	}
	check(newRootCommand())
}
