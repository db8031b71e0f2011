package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"pgwitness/internal/admin"
	"pgwitness/internal/audit"
	"pgwitness/internal/terminal"
)

func newAuditCoverageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "coverage",
		Short: "Say which tables are audited, and which should be and are not",
		Long: `Say of every user table whether it is audited, by what, and what is wrong with it. A
partitioned table stands for its partitions.

It changes nothing and takes any user: who may not read the list of attached tables is told
so. Exit code 5 where a table that was attached is not fully audited, or where one of the
functions that write the audit rows was altered.`,
		Example: `  pgwitness audit coverage
  pgwitness audit coverage --json | jq -r '.tables[] | select(.state == "unaudited").table'`,
		Args: noArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var asJSON bool
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON document for machines")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		const lockTimeout = 5 * time.Second
		database, err := openAudit(cmd.Context(), cfg, lockTimeout)
		if err != nil {
			return err
		}
		defer database.Close()
		found, err := database.Coverage(cmd.Context())
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if asJSON {
			encoder := json.NewEncoder(out)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(found)
		} else {
			const usual, least = 100, 40
			_, err = io.WriteString(out, coverageTable(found, max(terminal.New(out).Width(usual), least)))
		}
		if err != nil {
			return err
		}
		return coverageVerdict(found)
	}
	return cmd
}

// coverageVerdict is the error that what was found ends the command with.
func coverageVerdict(found audit.Coverage) error {
	var names []string
	for _, table := range found.Incomplete() {
		names = append(names, table.Table)
	}
	switch {
	case len(found.Functions) > 0:
		return withCode(exitDifferences, fmt.Errorf("%s: put the functions right with `pgwitness audit install` or `pgwitness audit harden`",
			strings.Join(found.Functions, "; ")))
	case len(names) == 1:
		return withCode(exitDifferences, fmt.Errorf("%s is not audited as it was attached: what is wrong is told above", names[0]))
	case len(names) > 1:
		return withCode(exitDifferences, fmt.Errorf("%d tables are not audited as they were attached: what is wrong is told above", len(names)))
	}
	return nil
}

// coverageTable shows what was found to a person: what is broken first.
func coverageTable(found audit.Coverage, width int) string {
	var b strings.Builder
	const gap, verdictWidth = 2, len("yes, each statement")
	nameWidth := len("TABLE")
	for _, table := range found.Tables {
		nameWidth = max(nameWidth, utf8.RuneCountInString(oneLine(table.Table)))
	}
	nameWidth = min(nameWidth, width-gap-verdictWidth)
	row := func(name, verdict string) {
		name = oneLine(name)
		if utf8.RuneCountInString(name) > nameWidth {
			fmt.Fprintf(&b, "%s\n", name) // a line of its own
			name = ""
		}
		fmt.Fprintf(&b, "%s%s%s\n", name, strings.Repeat(" ", nameWidth+gap-utf8.RuneCountInString(name)), verdict)
	}
	write := func(prefix, text string) {
		for _, line := range admin.Lines(oneLine(text), width-len(prefix)) {
			b.WriteString(prefix + line + "\n")
		}
	}
	if len(found.Tables) == 0 {
		b.WriteString("There are no tables.\n")
	} else {
		row("TABLE", "AUDITED")
	}
	broken := func(table audit.TableCoverage) bool { return table.State == audit.Broken }
	first := found.Incomplete()
	rest := slices.DeleteFunc(slices.Clone(found.Tables), broken)
	for _, table := range slices.Concat(first, rest) {
		row(table.Table, coverageWord(table))
		for _, note := range table.Notes {
			write("    ", note)
		}
	}
	for _, text := range slices.Concat(found.Functions, found.Unknown) {
		b.WriteByte('\n')
		write("", text)
	}
	if !found.Installed {
		b.WriteByte('\n')
		write("", "pgwitness's trigger functions are not installed: `pgwitness audit harden` mends the table that is there, "+
			"`pgwitness audit install` makes a new one.")
	}
	return b.String()
}

func coverageWord(table audit.TableCoverage) string {
	switch table.State {
	case audit.Audited:
		return "yes, each " + table.Mode
	case audit.Broken:
		return "NOT AS IT SHOULD BE"
	case audit.Seed:
		return "by the seed's"
	case audit.Other:
		return "by another trigger"
	}
	return "no"
}
