package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// manExit is what all man pages end in, in roff.
const manExit = `.SH EXIT STATUS
.TP
.B 0
done, or asked to stop
.TP
.B 1
failed; a restart may help
.TP
.B 2
usage or configuration
.TP
.B 3
the database is not set up for pgwitness
.TP
.B 4
evidence was or may have been lost
.TP
.B 5
a check found differences, or problems
`

// ownOptions is GenMan's section of the options, which gives each its default, and not the name of its value.
var ownOptions = regexp.MustCompile(`(?ms)^\.SH OPTIONS$.*?(^\.SH|\z)`)

// manOptions is that section as --help has it, with the head of the one that follows.
func manOptions(cmd *cobra.Command) string {
	var section strings.Builder
	section.WriteString(".SH OPTIONS\n")
	cmd.NonInheritedFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(flag)
		name := "--" + flag.Name
		if flag.Shorthand != "" {
			name = "-" + flag.Shorthand + ", " + name
		}
		fmt.Fprintf(&section, ".TP\n\\fB%s\\fR \\fI%s\\fR\n%s\n", roff(name), roff(value), roff(usage))
	})
	section.WriteString(".SH")
	return section.String()
}

// roff escapes text that stands inside a line, or is one.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		return `\&` + text
	}
	return text
}

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Hidden: true, // for packages: a person reads --help
		Short:  "Write the man pages",
		Long:   "Write a man page of section 1 for each command into the directory DIR, which is made if need be.",
		Example: `  # Read them without installing them
  pgwitness man /tmp/man/man1 && man -M /tmp/man pgwitness-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one directory: see %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // for everybody to read
				return err
			}
			return writeManPages(cmd.Root(), args[0])
		},
	}
}

// writeManPages writes the page of cmd and those of the commands below it.
func writeManPages(cmd *cobra.Command, dir string) error {
	build := readBuildInfo()
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	header := doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Source: "pgwitness " + build.Version, Manual: "pgwitness"}
	// The same source gives the same pages: without a date GenMan looks for SOURCE_DATE_EPOCH, and then at the clock.
	if made, err := time.Parse(time.RFC3339, build.Time); err == nil && os.Getenv("SOURCE_DATE_EPOCH") == "" {
		header.Date = &made
	}
	cmd.DisableAutoGenTag = true
	var page bytes.Buffer
	if err := doc.GenMan(cmd, &header, &page); err != nil {
		return fmt.Errorf("the man page of %s: %w", cmd.CommandPath(), err)
	}
	text := ownOptions.ReplaceAllLiteralString(page.String(), manOptions(cmd))
	// EXIT STATUS goes before SEE ALSO, which comes last.
	text, related, hasRelated := strings.Cut(text, ".SH SEE ALSO")
	text += manExit
	if hasRelated {
		text += ".SH SEE ALSO" + related
	}
	if err := os.WriteFile(filepath.Join(dir, name+".1"), []byte(text), 0o644); err != nil { //nolint:gosec // likewise
		return err
	}
	for _, child := range cmd.Commands() {
		if !child.IsAvailableCommand() || child.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := writeManPages(child, dir); err != nil {
			return err
		}
	}
	return nil
}
