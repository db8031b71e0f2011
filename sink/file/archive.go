package file

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"pgwitness/internal/failpoint"
	"pgwitness/internal/retry"
	"pgwitness/sink"
)

// archiver compresses rotated files and removes those that are too many, in a goroutine of its own. It works from what lies
// in the directory, not from memory, so it takes up what an earlier process left. What it cannot do leaves the files as
// they are, is told, and is tried again at the next rotation.
type archiver struct {
	path     string
	compress string
	keep     int
	outage   *retry.Outage // owned by run

	cancel context.CancelFunc
	wakeup chan struct{}
	done   chan struct{}
}

// startArchiver starts the goroutine, which begins with a round at once; stop ends and joins it.
func startArchiver(cfg Config, log *slog.Logger) *archiver {
	ctx, cancel := context.WithCancel(context.Background())
	a := &archiver{
		path: cfg.Path, compress: cfg.Compress, keep: cfg.Keep, outage: retry.NewOutage(log),
		cancel: cancel, wakeup: make(chan struct{}, 1), done: make(chan struct{}),
	}
	a.wake()
	go a.run(ctx)
	return a
}

// wake asks for one more round.
func (a *archiver) wake() {
	select {
	case a.wakeup <- struct{}{}:
	default:
	}
}

func (a *archiver) stop() {
	a.cancel()
	<-a.done
}

func (a *archiver) run(ctx context.Context) {
	defer close(a.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wakeup:
		}
		if err := a.round(ctx); err != nil && ctx.Err() == nil {
			a.outage.Failed(slog.LevelWarn, sink.Reason(err), "rotated files cannot be archived; they stay as they are until the next rotation",
				"error", err)
		} else if err == nil {
			a.outage.Over("rotated files can be archived again")
		}
	}
}

func (a *archiver) round(ctx context.Context) error {
	files, err := listRotated(a.path)
	if err != nil {
		return err
	}
	var errs []error
	kept := 0
	for i, file := range slices.Backward(files) {
		// A crash in the middle of compressing leaves one rotated file under two names, which stand side by side.
		if i == len(files)-1 || file.name != files[i+1].name {
			kept++
		}
		switch {
		case a.keep > 0 && kept > a.keep:
			errs = append(errs, os.Remove(file.name+file.compressed))
		case file.compressed == "" && a.compress != "none":
			errs = append(errs, a.compressFile(ctx, file.name))
		}
	}
	return errors.Join(errs...)
}

// compressFile replaces the rotated file of that name by a compressed one. A crash leaves the one, the other or both whole,
// and at most one temporary file, which the next call overwrites.
func (a *archiver) compressFile(ctx context.Context, name string) error {
	temp := a.path + ".archive.tmp"
	if err := a.compressTo(ctx, temp, name); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	failpoint.Hit("file.archive.1")
	if err := os.Rename(temp, name+extensions[a.compress]); err != nil {
		return err
	}
	failpoint.Hit("file.archive.2")
	if err := syncDir(filepath.Dir(name)); err != nil {
		return err
	}
	failpoint.Hit("file.archive.3")
	return os.Remove(name)
}

var extensions = map[string]string{"gzip": ".gz", "zstd": ".zst"}

func (a *archiver) compressTo(ctx context.Context, temp, name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer out.Close()

	var compressor io.WriteCloser = gzip.NewWriter(out)
	if a.compress == "zstd" {
		// One thread and little memory: the stream comes first.
		compressor, err = zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
		if err != nil {
			return err
		}
	}
	_, err = io.Copy(compressor, contextReader{ctx, in})
	// Also after an error: it ends the compressor's goroutines.
	if err := errors.Join(err, compressor.Close()); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Close()
}

// contextReader ends a copy when ctx is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
