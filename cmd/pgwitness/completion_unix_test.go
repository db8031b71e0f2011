//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the script does in a real bash, that of bash_completion replaced by the few lines of it that count here.
const bashCompletion = `
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD; }
compopt() { :; }
source <(pgwitness completion bash)
COMP_WORDS=(pgwitness "$@") COMP_CWORD=$# COMP_LINE="pgwitness $*" COMP_TYPE=9
COMP_POINT=${#COMP_LINE}
$(complete -p pgwitness | sed 's/.*-F \([^ ]*\).*/\1/')
printf '%s\n' "${COMPREPLY[@]}"
`

func TestBashCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash, and so nothing to complete")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "pgwitness")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ words, want string }{
		{"sta", "status"},
		{"tail --kind t", "tamper"},
		{"audit har", "harden"},
		{"run --log-level w", "warn"},
	} {
		t.Run(tt.words, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), bash, append([]string{"-c", bashCompletion, "bash"}, strings.Fields(tt.words)...)...)
			cmd.Env = append(os.Environ(), asMain+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			got, err := cmd.Output()
			if words := strings.TrimSpace(string(got)); err != nil || words != tt.want {
				t.Errorf("completed by %q (%v), want %q\n%s", words, err, tt.want, &stderr)
			}
		})
	}
}
