package main

import (
	"testing"

	"pgwitness/internal/audit"
)

// TestCoverageTable checks that what is broken comes first, that a line is as wide as the terminal at most, and what the
// command ends with.
func TestCoverageTable(t *testing.T) {
	found := audit.Coverage{Installed: true, Tables: []audit.TableCoverage{
		{Table: "public.a", State: audit.Unaudited},
		{Table: "public.b", State: audit.Broken, Notes: []string{"its trigger pgwitness_row is disabled", "no trigger audits TRUNCATE"}},
		{Table: "public.\"a name that\nis long\"", State: audit.Audited, Mode: "statement"},
	}}
	const want = `TABLE                AUDITED
public.b             NOT AS IT SHOULD BE
    its trigger pgwitness_row is
    disabled
    no trigger audits TRUNCATE
public.a             no
public."a name that; is long"
                     yes, each statement
`
	if got := coverageTable(found, 40); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if code := exitCode(coverageVerdict(found)); code != exitDifferences {
		t.Errorf("exit code %d, want %d", code, exitDifferences)
	}
	found.Tables = found.Tables[:1]
	if err := coverageVerdict(found); err != nil {
		t.Errorf("a table that was never attached: %v", err)
	}
	found.Functions = []string{"pgwitness.capture was altered"}
	if code := exitCode(coverageVerdict(found)); code != exitDifferences {
		t.Errorf("a function altered: exit code %d, want %d", code, exitDifferences)
	}
}
