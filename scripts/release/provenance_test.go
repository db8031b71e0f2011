package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const commit = "1d60f8b2c0e5a3f4d6978877665544332211ffee"

func TestSnapshotVersion(t *testing.T) {
	if got, want := snapshotVersion(commitTime, commit), "v0.0.0-20261123160002-1d60f8b2c0e5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParsePlatform(t *testing.T) {
	for _, name := range []string{"", "linux", "linux/", "/amd64"} {
		if p, err := parsePlatform(name); err == nil {
			t.Errorf("%q is taken as %v", name, p)
		}
	}
	if p, err := parsePlatform("linux/arm64"); err != nil || p != (platform{"linux", "arm64"}) {
		t.Errorf("linux/arm64 is taken as %v, %v", p, err)
	}
}

func TestDirHash(t *testing.T) {
	got, err := dirHash("h1:ZN+IMa753KfX5hd8vVaMixjnqRZ3y8CuJKRKj1xcsSM=")
	if want := "64df8831aef9dca7d7e6177cbd568c8b18e7a91677cbc0ae24a44a8f5c5cb123"; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"", "h2:ZN+IMa753KfX5hd8vVaMixjnqRZ3y8CuJKRKj1xcsSM=", "h1:ZN+I", "h1:?"} {
		if got, err := dirHash(bad); err == nil {
			t.Errorf("%q is taken as %s", bad, got)
		}
	}
}

func TestProvenance(t *testing.T) {
	r := &release{
		version: "v1.2.3", commit: commit, out: t.TempDir(),
		modules: map[string]string{"example.com/b@v1.0.0": "h1:ZN+IMa753KfX5hd8vVaMixjnqRZ3y8CuJKRKj1xcsSM="},
	}
	if err := writeFile(filepath.Join(r.out, "a.tar.gz"), strings.NewReader("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.add("a.tar.gz")
	cfg := provenanceConfig{
		Builder: "https://ci.example.com/pgwitness", Repository: "git+https://example.com/pgwitness",
		Platforms: []platform{{"linux", "amd64"}},
	}
	if err := r.writeProvenance(cfg); err != nil {
		t.Fatal(err)
	}
	if err := r.writeSums(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.out, "pgwitness_1.2.3.provenance.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	environment := []any{}
	for _, assignment := range buildEnvironment {
		environment = append(environment, assignment)
	}
	const sumOfA = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	want := map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"name": "a.tar.gz", "digest": map[string]any{"sha256": sumOfA}}},
		"predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":          "urn:pgwitness:release:1",
				"externalParameters": map[string]any{"commit": commit, "version": "v1.2.3", "platforms": []any{"linux/amd64"}},
				"internalParameters": map[string]any{"environment": environment},
				"resolvedDependencies": []any{
					map[string]any{
						"name": "pgwitness", "uri": "git+https://example.com/pgwitness@" + commit,
						"digest": map[string]any{"gitCommit": commit},
					},
					map[string]any{"uri": "pkg:generic/go@" + strings.TrimPrefix(runtime.Version(), "go")},
					map[string]any{"uri": "pkg:golang/" + nfpm},
					map[string]any{"uri": "pkg:golang/" + cyclonedx},
					map[string]any{
						"uri":    "pkg:golang/example.com/b@v1.0.0",
						"digest": map[string]any{"dirHash": "64df8831aef9dca7d7e6177cbd568c8b18e7a91677cbc0ae24a44a8f5c5cb123"},
					},
				},
			},
			"runDetails": map[string]any{"builder": map[string]any{"id": "https://ci.example.com/pgwitness"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the provenance (-want +got):\n%s", diff)
	}

	sums, err := os.ReadFile(filepath.Join(r.out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(sums), sumOfA+"  a.tar.gz\n") || strings.Count(string(sums), "\n") != 2 {
		t.Errorf("SHA256SUMS holds:\n%s", sums)
	}
}

// TestKeepsWhatIsThere is about a directory that somebody named by mistake.
func TestKeepsWhatIsThere(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "precious")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := claim(directory); err == nil {
		t.Error("a directory that is not empty is taken")
	}
	if err := claim(filepath.Join(directory, "new", "dist")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
