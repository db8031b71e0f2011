package kubernetes

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// kubeScore is a program and not a library of ours: it needs an API of Kubernetes's that newer modules do not have.
const kubeScore = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"

type scorer struct{ binary string }

func installScore(t *testing.T) scorer {
	t.Helper()
	return scorer{installed(t, "kube-score", func(dir string) *exec.Cmd {
		install := exec.Command("go", "install", kubeScore)
		install.Env = append(os.Environ(), "GOBIN="+dir)
		return install
	})}
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
