package main

import (
	"bytes"
	"strings"
	"testing"
)

// The hidden command is what the shells' scripts ask.
func TestCompletion(t *testing.T) {
	tests := []struct {
		line string // without the program's name; what is begun comes last, "" for nothing
		want string // the words, and the directive as the scripts know it
	}{
		{"ta", "tail :4"},
		{"audit at", "attach :4"},
		{"status x", ":4"},
		{"run --log-level ", "debug info warn error :4"},
		{"run --log-format=t", "text :4"},
		{"run --sink ", "stdout file: :6"}, // no blank after it
		{"run --config ", "yaml yml :8"},   // files that end so
		{"run --state-dir ", ":16"},        // directories
		{"run --slot ", ":4"},
		{"demo --postgres 1", "14 15 16 17 18 :4"},
		{"audit attach --mode ", "row statement :4"},
		{"audit attach --images ", "both changed :4"},
		{"audit attach --fail ", "closed open :4"},
		{"tail --operation ", "insert update delete truncate other :4"},
		{"tail --operation insert,u", "insert,update :4"},
		{"tail --operation insert,", "insert,insert insert,update insert,delete insert,truncate insert,other :4"},
		{"tail --kind r", "retention :4"},
		{"status --password-file ", ":0"}, // any file
		{"status --ca-file ", "pem crt :8"},
		{"status --watch=", "1s 2s 10s :4"},
		{"man ", ":16"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			args := append([]string{"__completeNoDesc"}, strings.Split(tt.line, " ")...)
			if code := execute(t.Context(), newRootCommand(), args, &stdout, &stderr); code != exitDone {
				t.Fatalf("exit code %d: %s", code, &stderr)
			}
			if got := strings.Join(strings.Fields(stdout.String()), " "); got != tt.want {
				t.Errorf("completed by %q, want %q", got, tt.want)
			}
		})
	}
}

// A name of flagWords, flagFiles or the like that no flag has is a flag that was renamed.
func TestCompletionsAreOfFlagsThatExist(t *testing.T) {
	names := []string{"state-dir"}
	for name := range flagWords() {
		names = append(names, name)
	}
	for name := range flagFiles {
		names = append(names, name)
	}
	root := newRootCommand()
	for _, name := range names {
		found := false
		for _, cmd := range append(root.Commands(), root.Commands()[0].Commands()...) {
			found = found || cmd.Flags().Lookup(name) != nil
		}
		if !found {
			t.Errorf("there is no --%s", name)
		}
	}
}
