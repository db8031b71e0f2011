// Package file keeps audit events in a local file, one JSON object a line, each event once: the last whole line is the
// position from which the stream goes on.
//
// Beside the file at PATH stand PATH.origin, which says whose events the file holds, PATH.lock, which keeps a second
// process out, and the files that were rotated away. They belong together: move or copy them together. New files get the
// mode 0640 as far as the process's umask allows.
//
// While the sink runs, the file may be moved or removed (as logrotate does it without copytruncate): the next events go
// to a new file at PATH. Moved while no sink runs, it takes its position with it, and events that the database has not
// seen confirmed come again in the new file. A file whose content was changed by somebody else is refused.
package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"pgwitness/decoder"
	"pgwitness/sink"
)

const fileMode = 0o640

// Config is what a Sink needs to know. Only Path must be given.
type Config struct {
	// Path is the file that events are appended to. Its directory must exist.
	Path string
	// RotateSize is how large the file may grow, in bytes: a Write that would make it larger rotates it first. A single
	// Write that is larger by itself is kept together. Defaults to 0, which is never.
	RotateSize int64
	// RotateEvery is how old the file may grow, from when it was begun: the first Write after that rotates it. Defaults
	// to 0, which is never.
	RotateEvery time.Duration
	// Compress is what becomes of rotated files: "none", "gzip" or "zstd". Defaults to "none".
	Compress string
	// Keep is how many rotated files are kept; older ones are removed. Defaults to 0, which is all of them.
	Keep int
	// Logger gets what an operator should know that is no error. Defaults to slog.Default().
	Logger *slog.Logger
}

// Sink is a sink.Sink that appends to a file. Make one with New.
type Sink struct {
	cfg  Config
	log  *slog.Logger
	lock *flock.Flock
	buf  []byte

	origin   sink.Origin
	archiver *archiver // nil unless Open succeeded

	// The first size bytes of file are durable and end with the event at position. What follows them is unknown, and
	// whether the path still names file, while stale is set; otherwise nothing follows. No file is open before Open and
	// after a rotation that failed half way: then position alone counts.
	file     *os.File
	info     os.FileInfo // of file, to compare with what the path names
	size     int64
	position decoder.Position
	stale    bool
	begun    time.Time // when the file was begun
}

var _ sink.Sink = (*Sink)(nil)

// New makes a sink that is not open yet. Its errors are a sink.ErrConfig.
func New(cfg Config) (*Sink, error) {
	switch {
	case cfg.Path == "":
		return nil, fmt.Errorf("%w: file: the path is empty: say which file to write", sink.ErrConfig)
	case cfg.RotateSize < 0, cfg.RotateEvery < 0, cfg.Keep < 0:
		return nil, fmt.Errorf("%w: file %s: rotate_size, rotate_every and keep cannot be negative: use 0 for never, or for all",
			sink.ErrConfig, cfg.Path)
	}
	switch cfg.Compress {
	case "":
		cfg.Compress = "none"
	case "none", "gzip", "zstd":
	default:
		return nil, fmt.Errorf("%w: file %s: cannot compress with %q: use none, gzip or zstd", sink.ErrConfig, cfg.Path, cfg.Compress)
	}
	// A later change of the working directory must not move the sink.
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: file %s: %w", sink.ErrConfig, cfg.Path, err)
	}
	cfg.Path = path
	log := cfg.Logger
	if log == nil {
		log = slog.Default()
	}
	return &Sink{
		cfg:  cfg,
		log:  log.With("file", path),
		lock: flock.New(path+".lock", flock.SetPermissions(fileMode)),
		buf:  make([]byte, 0, chunkSize),
	}, nil
}

// Open locks the file, cuts what a crash has left behind its last whole line, makes the rest durable and returns the
// position of that line.
func (s *Sink) Open(ctx context.Context, origin sink.Origin) (decoder.Position, error) {
	if err := ctx.Err(); err != nil {
		return decoder.Position{}, err
	}
	s.origin, s.position = origin, decoder.Position{}
	if err := s.attach(); err != nil {
		return decoder.Position{}, errors.Join(s.configError(err), s.Close())
	}
	s.archiver = startArchiver(s.cfg, s.log)
	return s.position, nil
}

// configError makes a sink.ErrConfig of what cannot be right before a person has mended it. While the sink runs the same
// errors are retried, because then the file has been seen to work.
func (s *Sink) configError(err error) error {
	dir := filepath.Dir(s.cfg.Path)
	switch sink.Reason(err) {
	case "not_found":
		return fmt.Errorf("%w: %w: create the directory %s, writable for the user that pgwitness runs as", sink.ErrConfig, err, dir)
	case "permission":
		return fmt.Errorf("%w: %w: let the user that pgwitness runs as write to %s and to the files in it", sink.ErrConfig, err, dir)
	}
	return err
}

// Write appends events and returns when they are durable and the path is known to name the file that holds them. Events
// that the file holds already are left out.
func (s *Sink) Write(ctx context.Context, events []decoder.Event) error {
	if s.archiver == nil {
		return fmt.Errorf("file %s: Write on a sink that is not open", s.cfg.Path)
	}
	if len(events) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.ready(); err != nil {
		return err
	}
	for len(events) > 0 && events[0].Compare(s.position) <= 0 {
		events = events[1:]
	}
	if len(events) == 0 {
		return nil
	}
	if s.rotationDue(events) {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	return s.append(ctx, events)
}

// Close ends the compression of rotated files, which the next Open takes up again, and releases the file and its lock.
func (s *Sink) Close() error {
	if s.archiver != nil {
		s.archiver.stop()
		s.archiver = nil
	}
	return errors.Join(s.closeFile(), s.lock.Unlock())
}

func (s *Sink) closeFile() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file, s.info = nil, nil
	return err
}
