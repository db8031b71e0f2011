package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pgwitness/internal/config"
	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/feed"
)

// flagWords are the values of flags that have few, by the flag's name: a name means the same wherever it is used.
func flagWords() map[string][]string {
	versions := embeddedpg.Versions()
	majors := make([]string, len(versions))
	for i, version := range versions {
		majors[i] = strconv.Itoa(version)
	}
	return map[string][]string{
		"fail":       {"closed", "open"},
		"images":     {"both", "changed"},
		"kind":       feed.Kinds,
		"listen":     {"off"},
		"log-format": {config.LogAuto, config.LogText, config.LogJSON},
		"log-level":  {"debug", "info", "warn", "error"},
		"mode":       {"row", "statement"},
		"operation":  feed.Operations,
		"postgres":   majors,
		"sink":       {config.SinkStdout, config.SinkFile + ":"},
		"watch":      {"1s", "2s", "10s"},
	}
}

// flagFiles are the endings of the files that flags want, none for any.
var flagFiles = map[string][]string{"config": {"yaml", "yml"}, "ca-file": {"pem", "crt"}, "password-file": nil}

// addCompletions has the shell complete the values of root's flags. It is called once all commands are there.
func addCompletions(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp) // few arguments are files
	words := flagWords()
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			complete := completion(flag, words[flag.Name])
			if complete == nil {
				return
			}
			if _, known := cmd.GetFlagCompletionFunc(flag.Name); !known {
				_ = cmd.RegisterFlagCompletionFunc(flag.Name, complete) // the flag is there, and it is the first
			}
		})
		for _, child := range cmd.Commands() {
			add(child)
		}
	}
	add(root)
}

// completion returns what completes flag's value, nil where nothing does.
func completion(flag *pflag.Flag, words []string) cobra.CompletionFunc {
	endings, file := flagFiles[flag.Name]
	switch {
	case words != nil:
		list := flag.Value.Type() == "stringSlice"
		return func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return completeWord(words, begun, list)
		}
	case file && endings == nil:
		return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		}
	case file:
		return cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt)
	case flag.Name == "state-dir":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	}
	return nil
}

// completeWord returns the words that begin so; of a list, what follows the last comma does.
func completeWord(words []string, begun string, list bool) ([]cobra.Completion, cobra.ShellCompDirective) {
	before := ""
	if comma := strings.LastIndexByte(begun, ','); list && comma >= 0 {
		before = begun[:comma+1]
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	var found []cobra.Completion
	for _, word := range words {
		if !strings.HasPrefix(before+word, begun) {
			continue
		}
		found = append(found, before+word)
		if strings.HasSuffix(word, ":") {
			directive |= cobra.ShellCompDirectiveNoSpace // the rest of it follows
		}
	}
	return found, directive
}
