package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// kubeScore is a program and not a library of ours: it needs an API of Kubernetes's that newer modules do not have.
const kubeScore = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"

type scorer struct{ binary string }

// tools holds kube-score, once a test has asked for it.
var tools string

// TestMain keeps Helm from telling of each symbolic link in the chart, and removes what tests share.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	if err := os.RemoveAll(tools); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func installScore(t *testing.T) scorer {
	t.Helper()
	if tools == "" {
		dir, err := os.MkdirTemp("", "kube-score-")
		if err != nil {
			t.Fatal(err)
		}
		tools = dir
		install := exec.Command("go", "install", kubeScore)
		install.Env = append(os.Environ(), "GOBIN="+dir)
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("installing %s: %v\n%s", kubeScore, err, out)
		}
	}
	return scorer{filepath.Join(tools, "kube-score")}
}

// check fails for each finding of kube-score's that it calls critical, but for the checks that are named.
func (s scorer) check(t *testing.T, text []byte, except ...string) {
	t.Helper()
	var joined bytes.Buffer // its own splitting does not get past comments before the first document
	for _, document := range documents(t, text) {
		joined.WriteString("---\n")
		joined.Write(document)
	}
	cmd := exec.Command(s.binary, "score", "--output-format", "json", "-")
	cmd.Stdin = &joined
	out, err := cmd.Output() // its exit code is that of the findings
	var objects []struct {
		Name   string `json:"object_name"`
		Checks []struct {
			Check    struct{ Name string }
			Grade    int
			Skipped  bool
			Comments []struct{ Path, Summary, Description string }
		}
	}
	if jsonErr := json.Unmarshal(out, &objects); jsonErr != nil || len(objects) == 0 {
		t.Fatalf("kube-score: %v: %v\n%s", err, jsonErr, out)
	}
	const critical = 1
	for _, object := range objects {
		for _, check := range object.Checks {
			if check.Skipped || check.Grade > critical || slices.Contains(except, check.Check.Name) {
				continue
			}
			for _, comment := range check.Comments {
				t.Errorf("kube-score: %s: %s: %s: %s", object.Name, check.Check.Name, comment.Path, comment.Summary)
			}
		}
	}
}
