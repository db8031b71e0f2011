// Package stdout hands audit events to whoever reads standard output, one JSON object a line. It cannot tell what earlier
// processes wrote, so after a restart events may come again: at least once.
package stdout

import (
	"context"
	"fmt"
	"io"
	"os"

	"pgwitness/decoder"
	"pgwitness/sink"
)

// Config is what a Sink needs to know.
type Config struct {
	// Writer takes the lines. Defaults to os.Stdout; then the command has to ignore SIGPIPE, or a reader that leaves ends
	// the process before the sink can say so.
	Writer io.Writer
}

// Sink is a sink.Sink that writes to standard output. An event counts as durable once the operating system has taken it
// from us; when standard output is redirected to a file, once it is fsynced.
type Sink struct {
	out  io.Writer
	file *os.File // out, if it is one
	buf  []byte

	syncs bool // whether file is a regular one
	// Every event up to last, of the stream from origin, is written, and offset bytes of next, the one after it.
	origin     sink.Origin
	last, next decoder.Position
	offset     int
}

var _ sink.Sink = (*Sink)(nil)

// New makes a sink that is not open yet.
func New(cfg Config) *Sink {
	if cfg.Writer == nil {
		cfg.Writer = os.Stdout
	}
	file, _ := cfg.Writer.(*os.File)
	return &Sink{out: cfg.Writer, file: file}
}

// Open returns the zero Position: nobody knows what standard output has seen of other processes. What this one wrote it
// knows, and goes on there, when the sink is opened again after a Close.
func (s *Sink) Open(ctx context.Context, origin sink.Origin) (decoder.Position, error) {
	begun := s.last
	if s.offset > 0 {
		begun = s.next
	}
	if begun != (decoder.Position{}) {
		if err := origin.Continues(s.origin, begun); err != nil {
			return decoder.Position{}, fmt.Errorf("standard output: %w: start again", err)
		}
	}
	chunk := 64 << 10
	if s.file != nil {
		info, err := s.file.Stat()
		if err != nil {
			return decoder.Position{}, fmt.Errorf("%w: standard output cannot be used: %w", sink.ErrConfig, err)
		}
		if s.syncs = info.Mode().IsRegular(); !s.syncs {
			chunk = pipeBuf()
		}
	}
	s.buf = make([]byte, 0, chunk)
	s.origin = origin
	return decoder.Position{}, ctx.Err()
}

// Write writes events. After an error it goes on at the byte where it stopped, so that a reader sees no torn line.
func (s *Sink) Write(ctx context.Context, events []decoder.Event) error {
	for len(events) > 0 && events[0].Compare(s.last) <= 0 {
		events = events[1:]
	}
	if s.offset > 0 && len(events) > 0 && events[0].Position != s.next {
		// Another replica may have gone on with the slot in between.
		return fmt.Errorf("%w: standard output holds half of event %s, and %s came instead of it: start again",
			sink.ErrClosed, s.next, events[0].Position)
	}
	for len(events) > 0 {
		if err := s.wait(ctx); err != nil {
			return err
		}
		n, err := s.out.Write(s.chunk(events))
		events = s.advance(events, n)
		if err != nil {
			if sink.Reason(err) == "closed" {
				return fmt.Errorf("%w: standard output was closed by its reader: %w", sink.ErrClosed, err)
			}
			return err
		}
	}
	if s.syncs {
		if err := s.file.Sync(); err != nil {
			// What the kernel dropped cannot be written again, because nobody can go back in standard output.
			return fmt.Errorf("%w: the file that standard output goes to failed, use the file sink: %w", sink.ErrClosed, err)
		}
	}
	return nil
}

// Close does nothing: standard output is not ours to close.
func (s *Sink) Close() error { return nil }

// wait returns when out will take a chunk without blocking, as far as that can be known.
func (s *Sink) wait(ctx context.Context) error {
	if s.file != nil && !s.syncs {
		return waitWritable(ctx, s.file)
	}
	return ctx.Err()
}

// chunk returns the next bytes to write, at most cap(s.buf) of them.
func (s *Sink) chunk(events []decoder.Event) []byte {
	s.buf = s.buf[:0]
	offset := s.offset
	for i := range events {
		line := events[i].Line()[offset:]
		offset = 0
		n := min(len(line), cap(s.buf)-len(s.buf))
		s.buf = append(s.buf, line[:n]...)
		if n < len(line) {
			break
		}
	}
	return s.buf
}

// advance notes that n more bytes are written and returns the events that are not, or not wholly.
func (s *Sink) advance(events []decoder.Event, n int) []decoder.Event {
	s.offset += n
	for len(events) > 0 && s.offset >= len(events[0].Line()) {
		s.offset -= len(events[0].Line())
		s.last = events[0].Position
		events = events[1:]
	}
	if len(events) > 0 {
		s.next = events[0].Position
	}
	return events
}
