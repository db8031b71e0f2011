package doctor

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"pgwitness/internal/admin"
	"pgwitness/internal/terminal"
)

// order is how a person reads: what is wrong first.
var order = []Status{Problem, Warning, Unknown, OK, Skipped}

var colours = map[Status]string{Problem: terminal.Red, Warning: terminal.Yellow, OK: terminal.Green, Skipped: terminal.Gray}

const (
	statusWidth = len("problem") + 2
	areaWidth   = len(Performance) + 2
	unseenWidth = 100 // of a table that goes into a file
	wideEnough  = 120 // for columns of their own for area and check
	textMost    = 110 // longer lines are hard to read
)

// WriteTable writes the report for a person: a row a check with its finding, and why it matters and what mends it where
// something is to be mended.
func (r *Report) WriteTable(to terminal.Terminal) error {
	checks := slices.Clone(r.Checks)
	slices.SortStableFunc(checks, func(a, b Check) int { return slices.Index(order, a.Status) - slices.Index(order, b.Status) })
	idWidth := 0
	for _, c := range checks {
		idWidth = max(idWidth, len(c.ID))
	}
	t := tableWriter{to: to, width: to.Width(unseenWidth), idWidth: idWidth + 2}
	t.line(to.Paint(terminal.Bold, printable(fmt.Sprintf("Database %s, PostgreSQL %s, examined as role %s", r.Database, r.Server, r.Role))))
	t.line("")
	for i, c := range checks {
		if i > 0 && checks[i-1].Status != c.Status {
			t.line("")
		}
		t.check(c)
	}
	t.remedies(checks)
	t.line("")
	t.line(r.Summary.String())
	_, err := to.Write([]byte(t.text.String()))
	return err
}

// String is a sentence.
func (s Summary) String() string {
	return fmt.Sprintf("%s, %s, %d unknown, %d ok, %d skipped.", count(s.Problems, "problem"), count(s.Warnings, "warning"), s.Unknown, s.OK, s.Skipped)
}

type tableWriter struct {
	to      terminal.Terminal
	width   int
	idWidth int
	text    strings.Builder
}

func (t *tableWriter) line(text string) { t.text.WriteString(text + "\n") }

// check writes one row. Where it is wide enough area and check have columns of their own; elsewhere, a check with something
// to mend has a line of its own for them.
func (t *tableWriter) check(c Check) {
	status := t.to.Paint(colours[c.Status], fmt.Sprintf("%-*s", statusWidth, c.Status))
	indent := statusWidth
	if t.width >= wideEnough {
		status += t.to.Paint(terminal.Gray, fmt.Sprintf("%-*s", areaWidth, c.Area))
		indent += areaWidth
	}
	if t.width >= wideEnough || c.Fix == "" {
		status += fmt.Sprintf("%-*s", t.idWidth, c.ID)
		indent += t.idWidth
	} else {
		t.line(status + t.to.Paint(terminal.Bold, c.ID) + t.to.Paint(terminal.Gray, " · "+string(c.Area)))
		status = strings.Repeat(" ", indent)
	}
	t.paragraph(status, indent, "", "", c.Finding)
	if c.Fix == "" {
		return
	}
	margin := strings.Repeat(" ", indent)
	if c.Status != Unknown { // there is nothing to fear yet
		t.paragraph(margin, indent, "why  ", terminal.Gray, c.Why)
	}
	t.paragraph(margin, indent, "fix  ", terminal.Bold, c.Fix)
}

// paragraph writes text with head before its first line and a label, below which the other lines begin.
func (t *tableWriter) paragraph(head string, indent int, label, colour, text string) {
	for i, line := range admin.Lines(text, min(t.width-1-indent, textMost)-len(label)) {
		if i > 0 {
			head, label = strings.Repeat(" ", indent), strings.Repeat(" ", len(label))
		}
		t.line(head + t.to.Paint(terminal.Gray, label) + t.to.Paint(colour, line))
	}
}

// remedies writes each command that mends something once, with how much it mends.
func (t *tableWriter) remedies(checks []Check) {
	var commands []string
	mends := map[string]Summary{}
	for _, c := range checks {
		if c.Status != Problem && c.Status != Warning || !strings.HasPrefix(c.Fix, "pgwitness ") {
			continue
		}
		if _, seen := mends[c.Fix]; !seen {
			commands = append(commands, c.Fix)
		}
		s := mends[c.Fix]
		if c.Status == Problem {
			s.Problems++
		} else {
			s.Warnings++
		}
		mends[c.Fix] = s
	}
	if len(commands) == 0 {
		return
	}
	longest := 0
	for _, command := range commands {
		longest = max(longest, utf8.RuneCountInString(command))
	}
	t.line("")
	t.line("What mends most of it (without --apply, each prints its SQL):")
	for _, command := range commands {
		var what []string
		if n := mends[command].Problems; n > 0 {
			what = append(what, count(n, "problem"))
		}
		if n := mends[command].Warnings; n > 0 {
			what = append(what, count(n, "warning"))
		}
		gap := strings.Repeat(" ", longest+2-utf8.RuneCountInString(command))
		t.line("  " + t.to.Paint(terminal.Bold, printable(command)) + gap + t.to.Paint(terminal.Gray, strings.Join(what, ", ")))
	}
}

// printable turns what a terminal might obey into spaces: names may hold anything.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
