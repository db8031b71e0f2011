package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// provenanceConfig is what the provenance says beside what the release knows.
type provenanceConfig struct {
	Builder    string
	Repository string
	Platforms  []platform
}

// statement is an in-toto statement, version 1, with a SLSA provenance, version 1. It has no times, and so is the same
// wherever the same is built. Unsigned it claims, and proves nothing.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     struct {
		BuildDefinition struct {
			BuildType            string         `json:"buildType"`
			ExternalParameters   map[string]any `json:"externalParameters"`
			InternalParameters   map[string]any `json:"internalParameters"`
			ResolvedDependencies []resource     `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		RunDetails struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
	} `json:"predicate"`
}

// resource is an in-toto resource descriptor.
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// writeProvenance says of every file so far what it was built from and with.
func (r *release) writeProvenance(cfg provenanceConfig) error {
	s, err := r.provenance(cfg)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	name := "pgwitness_" + strings.TrimPrefix(r.version, "v") + ".provenance.json"
	r.add(name)
	return writeFile(filepath.Join(r.out, name), strings.NewReader(string(text)+"\n"), 0o644)
}

func (r *release) provenance(cfg provenanceConfig) (*statement, error) {
	s := &statement{Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1"}
	for _, name := range r.files {
		sum, err := sumFile(filepath.Join(r.out, name))
		if err != nil {
			return nil, err
		}
		s.Subject = append(s.Subject, resource{Name: name, Digest: map[string]string{"sha256": sum}})
	}
	platforms := make([]string, len(cfg.Platforms))
	for i, p := range cfg.Platforms {
		platforms[i] = p.String()
	}
	definition := &s.Predicate.BuildDefinition
	definition.BuildType = "urn:pgwitness:release:1"
	definition.ExternalParameters = map[string]any{"commit": r.commit, "version": r.version, "platforms": platforms}
	definition.InternalParameters = map[string]any{"environment": buildEnvironment}
	source := resource{Name: "pgwitness", Digest: map[string]string{"gitCommit": r.commit}}
	if cfg.Repository != "" {
		source.URI = cfg.Repository + "@" + r.commit
	}
	definition.ResolvedDependencies = []resource{source, {URI: "pkg:generic/go@" + strings.TrimPrefix(runtime.Version(), "go")}}
	for _, tool := range []string{nfpm, cyclonedx} {
		definition.ResolvedDependencies = append(definition.ResolvedDependencies, resource{URI: "pkg:golang/" + tool})
	}
	for _, name := range slices.Sorted(maps.Keys(r.modules)) {
		digest, err := dirHash(r.modules[name])
		if err != nil {
			return nil, fmt.Errorf("module %s: %w", name, err)
		}
		definition.ResolvedDependencies = append(definition.ResolvedDependencies,
			resource{URI: "pkg:golang/" + name, Digest: map[string]string{"dirHash": digest}})
	}
	s.Predicate.RunDetails.Builder.ID = cfg.Builder
	return s, nil
}

// dirHash spells a checksum of go.sum as in-toto does.
func dirHash(h1 string) (string, error) {
	encoded, ok := strings.CutPrefix(h1, "h1:")
	sum, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("%q is no checksum of go.sum", h1)
	}
	return hex.EncodeToString(sum), nil
}

// writeSums writes SHA256SUMS, as sha256sum --check reads it.
func (r *release) writeSums() error {
	var sums strings.Builder
	for _, name := range slices.Sorted(slices.Values(r.files)) {
		sum, err := sumFile(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, name)
	}
	return writeFile(filepath.Join(r.out, "SHA256SUMS"), strings.NewReader(sums.String()), 0o644)
}

func sumFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
