package file

import (
	"context"
	"fmt"
	"os"

	"pgwitness/decoder"
	"pgwitness/internal/failpoint"
)

const (
	// chunkSize is how much goes to the file in one system call. More is not faster, and it is what a cancelled Write
	// still waits for.
	chunkSize = 256 << 10
	// maxUnsynced is how many bytes are ever written without an fsync between. A power loss can leave holes anywhere in
	// them, not just a torn end: Open checks as many bytes at the end of the file.
	maxUnsynced = 32 << 20
)

// append writes events behind the durable part of the file and makes them durable. Whatever fails, what was written
// whole by then is kept if it can be made durable, so that a batch gets on even while a disk is filling up.
func (s *Sink) append(ctx context.Context, events []decoder.Event) error {
	failpoint.Hit("file.before-write")
	s.stale = true
	chunks := chunker{events: events, buf: s.buf}
	var written, unsynced int64 // bytes behind s.size; bytes since the last fsync
	for chunk := chunks.next(); len(chunk) > 0; chunk = chunks.next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if unsynced+int64(len(chunk)) > maxUnsynced {
			var err error
			if events, written, err = s.commit(events, written); err != nil {
				return err
			}
			unsynced = 0
		}
		n, err := s.file.Write(chunk)
		written += int64(n)
		unsynced += int64(n)
		if err != nil {
			_, _, _ = s.commit(events, written) // err is what is to be told, and an error here only means that less is kept
			return err
		}
		failpoint.Hit("file.mid-write")
		if chunks.offset > 0 {
			failpoint.Hit("file.mid-line")
		}
	}
	failpoint.Hit("file.after-write")
	if _, _, err := s.commit(events, written); err != nil {
		return err
	}
	failpoint.Hit("file.after-fsync")
	s.stale = false
	return nil
}

// commit makes the bytes written behind s.size durable and moves s.size and s.position behind the events that lie in them
// whole. It returns the events that do not, and how many bytes of them were written.
func (s *Sink) commit(events []decoder.Event, written int64) ([]decoder.Event, int64, error) {
	if err := syncData(s.file); err != nil {
		// The kernel may have dropped the pages it failed to write and call them clean: whatever a later fsync says is
		// worth nothing for them. They must be written again, and must not be found by an Open until then.
		_ = s.file.Truncate(s.size) // the next Write tries it again
		return events, written, err
	}
	// A file that was removed after it was opened takes writes and fsyncs as if nothing had happened.
	info, err := os.Lstat(s.cfg.Path)
	switch {
	case err != nil && !os.IsNotExist(err):
		return events, written, err
	case err != nil || !os.SameFile(info, s.info):
		return events, written, fmt.Errorf("%s was moved or removed while events were written to it: they go to a new file", s.cfg.Path)
	case info.Size() != s.size+written:
		return events, written, s.changedError(info.Size(), s.size+written)
	}
	for len(events) > 0 && written >= int64(len(events[0].Line())) {
		written -= int64(len(events[0].Line()))
		s.size += int64(len(events[0].Line()))
		s.position = events[0].Position
		events = events[1:]
	}
	return events, written, nil
}

// chunker hands out the lines of events in chunks of at most chunkSize bytes. Short lines are copied together, for one
// system call; a line longer than a chunk is not copied.
type chunker struct {
	events []decoder.Event
	offset int // into the first event's line
	buf    []byte
}

// next returns the next chunk, valid until the one after it is asked for; an empty one at the end.
func (c *chunker) next() []byte {
	c.buf = c.buf[:0]
	for len(c.events) > 0 {
		line := c.events[0].Line()[c.offset:]
		switch {
		case len(line) <= cap(c.buf)-len(c.buf):
			c.buf = append(c.buf, line...)
			c.events, c.offset = c.events[1:], 0
		case len(c.buf) > 0:
			return c.buf
		default:
			c.offset += chunkSize
			return line[:chunkSize]
		}
	}
	return c.buf
}
