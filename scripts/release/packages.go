package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// pack makes the deb and the rpm that deploy/nfpm.yaml describes.
func (r *release) pack(ctx context.Context, p platform, binary string) error {
	env := []string{
		"ARCH=" + p.arch, "VERSION=" + r.version, "BINARY=" + binary, "STAGE=" + r.stage,
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()),
	}
	for _, packager := range []string{"deb", "rpm"} {
		name := r.name(p) + "." + packager
		if _, err := output(ctx, r.source, env, "go", "run", nfpm, "package",
			"--config", "deploy/nfpm.yaml", "--packager", packager, "--target", filepath.Join(r.out, name)); err != nil {
			return err
		}
		r.add(name)
	}
	return nil
}
