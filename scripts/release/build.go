package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// The programs that the release is made with, beside Go and git.
const (
	nfpm      = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.1" // the last that needs no module outside of the usual proxies' reach
	cyclonedx = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0"
)

// platform is what a binary is built for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

func parsePlatform(name string) (platform, error) {
	os, arch, ok := strings.Cut(name, "/")
	if !ok || os == "" || arch == "" {
		return platform{}, fmt.Errorf("the platform %q is not GOOS/GOARCH", name)
	}
	return platform{os, arch}, nil
}

// buildEnvironment pins what would make another binary of the same source. CGO_ENABLED=0 makes it static.
var buildEnvironment = []string{
	"CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GOWORK=off",
}

// build makes everything but the provenance and the sums.
func (r *release) build(ctx context.Context, platforms []platform) error {
	host := platform{runtime.GOOS, runtime.GOARCH}
	if _, err := r.compile(ctx, host); err != nil {
		return err
	}
	if err := r.document(ctx, r.binary(host)); err != nil {
		return err
	}
	for _, p := range platforms {
		fmt.Printf("%s %s\n", r.version, p)
		binary, err := r.compile(ctx, p)
		if err != nil {
			return err
		}
		if err := r.readModules(binary); err != nil {
			return err
		}
		if err := r.archive(p, binary); err != nil {
			return err
		}
		if err := r.writeSBOM(ctx, p, binary); err != nil {
			return err
		}
		if p.os == "linux" {
			if err := r.pack(ctx, p, binary); err != nil {
				return err
			}
		}
	}
	return nil
}

// name is what everything made for p is named, but for packages, which follow their own rules.
func (r *release) name(p platform) string {
	return fmt.Sprintf("pgwitness_%s_%s_%s", strings.TrimPrefix(r.version, "v"), p.os, p.arch)
}

func (r *release) binary(p platform) string {
	name := "pgwitness"
	if p.os == "windows" {
		name += ".exe"
	}
	return filepath.Join(r.stage, p.os+"-"+p.arch, name)
}

func (r *release) compile(ctx context.Context, p platform) (binary string, err error) {
	binary = r.binary(p)
	env := slices.Concat(buildEnvironment, []string{"GOOS=" + p.os, "GOARCH=" + p.arch})
	_, err = output(ctx, r.source, env, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s", r.version, r.commit),
		"-o", binary, "./cmd/pgwitness")
	return binary, err
}

// document writes the manual pages and the completions that the program prints of itself, into r.stage.
func (r *release) document(ctx context.Context, binary string) error {
	for shell, name := range map[string]string{
		"bash": "pgwitness.bash", "zsh": "_pgwitness", "fish": "pgwitness.fish", "powershell": "pgwitness.ps1",
	} {
		script, err := exec.CommandContext(ctx, binary, "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("%s completion %s: %w", binary, shell, err)
		}
		if err := writeFile(filepath.Join(r.stage, "completions", name), bytes.NewReader(script), 0o644); err != nil {
			return err
		}
	}
	_, err := output(ctx, "", []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()), "TZ=UTC"}, binary, "man", filepath.Join(r.stage, "man"))
	return err
}

// readModules notes what the binary was built of.
func (r *release) readModules(binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			return fmt.Errorf("%s is replaced, which a release must not have", dependency.Path)
		}
		r.modules[dependency.Path+"@"+dependency.Version] = dependency.Sum
	}
	return nil
}

// writeSBOM says in CycloneDX what is in the binary.
func (r *release) writeSBOM(ctx context.Context, p platform, binary string) error {
	name := r.name(p) + ".cdx.json"
	_, err := output(ctx, r.source, nil, "go", "run", cyclonedx, "bin", "-json", "-std", "-noserial", "-notimestamp",
		"-version", r.version, "-output", filepath.Join(r.out, name), binary)
	if err == nil {
		r.add(name)
	}
	return err
}
