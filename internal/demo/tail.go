package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// tail reads a file of lines that another process writes. A line counts once its end is there: what a killed consumer
// left half-written is cut by the next one, and read again here.
type tail struct {
	path   string
	file   *os.File
	offset int64 // of the first byte not returned yet
	buf    []byte
}

const tailBuffer = 256 << 10 // bytes; it grows for a longer line

// next returns the whole lines that are there, empty if there are none. They are valid until the next call.
func (t *tail) next() ([]byte, error) {
	if t.file == nil {
		file, err := os.Open(t.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		t.file, t.buf = file, make([]byte, tailBuffer)
	}
	for {
		n, err := t.file.ReadAt(t.buf, t.offset)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if end := bytes.LastIndexByte(t.buf[:n], '\n') + 1; end > 0 {
			t.offset += int64(end)
			return t.buf[:end], nil
		}
		if n < len(t.buf) {
			return nil, nil
		}
		t.buf = make([]byte, 2*len(t.buf))
	}
}

// follow calls use with lines as they come, looking for them at each interval, until ctx ends; once end is closed it
// goes on to the file's end and returns nil.
func (t *tail) follow(ctx context.Context, end <-chan struct{}, every time.Duration, use func(lines []byte) error) error {
	poll := time.NewTicker(every)
	defer poll.Stop()
	for ended := false; ; {
		lines, err := t.next()
		if err == nil && len(lines) > 0 {
			err = use(lines)
		}
		switch {
		case err != nil:
			return err
		case len(lines) > 0:
			continue
		case ended:
			return nil
		}
		select {
		case <-poll.C:
		case <-end:
			ended = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t *tail) close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}
