// Command release builds what is published of one commit, for every platform: archives of the static binary, deb and rpm
// packages, their SBOMs, the provenance and SHA256SUMS. The same commit and the same Go give the same bytes, wherever and
// whenever it runs; docs/RELEASING.md says what is in which file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	out := flags.String("out", "dist", "`directory` to fill; it must be empty if it is there")
	revision := flags.String("commit", "HEAD", "what is released; changes in the work tree are not")
	names := flags.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64",
		"what it is built for, `GOOS/GOARCH,…`")
	builder := flags.String("builder", "urn:pgwitness:builder:unattested",
		"`URI` of who builds, for the provenance; only a system that also signs it should name itself here")
	repository := flags.String("repository", "", "`URI` of the repository, for the provenance, as git+https://…")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var platforms []platform
	for name := range strings.SplitSeq(*names, ",") {
		p, err := parsePlatform(name)
		if err != nil {
			return err
		}
		platforms = append(platforms, p)
	}
	r, err := newRelease(ctx, *revision, *out)
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.build(ctx, platforms); err != nil {
		return err
	}
	if err := r.writeProvenance(provenanceConfig{Builder: *builder, Repository: *repository, Platforms: platforms}); err != nil {
		return err
	}
	return r.writeSums()
}
