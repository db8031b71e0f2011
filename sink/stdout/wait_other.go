//go:build !unix

package stdout

import (
	"context"
	"os"
)

func pipeBuf() int { return 64 << 10 }

// waitWritable does not wait: Windows cannot say whether a pipe would block.
func waitWritable(ctx context.Context, _ *os.File) error { return ctx.Err() }
