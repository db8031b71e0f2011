package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pgwitness/decoder"
	"pgwitness/sink"
)

// ready makes sure, before events are written, that the path names the file and that the file ends where it should.
func (s *Sink) ready() error {
	if s.stale || s.file == nil {
		return s.attach()
	}
	info, err := os.Lstat(s.cfg.Path)
	switch {
	case err == nil && os.SameFile(info, s.info) && info.Size() == s.size:
		return nil
	case err == nil && os.SameFile(info, s.info):
		return s.changedError(info.Size(), s.size)
	case err == nil || os.IsNotExist(err):
		return s.attach()
	}
	return err
}

// attach opens the file at the path and brings it, the origin and the Sink's fields to a state that events may be written
// in, from whatever state a crash, an error or another program left. On an error the old file stays open: a closed one's
// inode number could be given to a new file, which would then pass for the old one.
func (s *Sink) attach() error {
	s.stale = true
	if err := s.acquire(); err != nil {
		return err
	}
	info, err := os.Lstat(s.cfg.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		info = nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file but %s: configure the path of a file", sink.ErrConfig, s.cfg.Path, kind(info.Mode()))
	}
	mine := info != nil && s.file != nil && os.SameFile(info, s.info)
	state, err := s.recallState(info, mine)
	if err != nil {
		return err
	}

	file, err := os.OpenFile(s.cfg.Path, os.O_RDWR|os.O_CREATE|appendFlag, fileMode)
	if err != nil {
		return err
	}
	info, err = file.Stat()
	if err == nil {
		err = s.load(file, info.Size(), mine, state)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if s.file != nil && !mine {
		s.log.Warn("the file was moved or removed by another program; going on in a new one", "position", s.position)
	}
	// Nothing unwritten is left in the old handle whose loss its Close could report.
	_ = s.closeFile()
	s.file, s.info, s.stale = file, info, false
	return nil
}

// kind names what is no regular file.
func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	}
	return "something else" // a socket
}

// acquire takes the lock, unless it is held and PATH.lock still is what it was taken on: the directory may have been
// replaced.
func (s *Sink) acquire() error {
	if s.lock.Locked() {
		held, heldErr := s.lock.Stat()
		named, namedErr := os.Stat(s.lock.Path())
		if heldErr == nil && namedErr == nil && os.SameFile(held, named) {
			return nil
		}
		if err := s.lock.Unlock(); err != nil {
			return err
		}
	}
	locked, err := s.lock.TryLock()
	if err != nil {
		return err
	}
	if !locked {
		return fmt.Errorf("another process writes to %s (it holds %s): stop it, or configure another path", s.cfg.Path, s.lock.Path())
	}
	return nil
}

// recallState returns the state that belongs to the file with the given info (nil if there is none), written anew if there is
// none yet or if the file that it belonged to is gone from the path.
func (s *Sink) recallState(info os.FileInfo, mine bool) (state, error) {
	st, err := readState(s.cfg.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && info != nil && info.Size() > 0:
		return st, fmt.Errorf("%w: %s is not empty, and %s, which says whose events it holds, is missing: "+
			"restore it, or move the file away", sink.ErrForeign, s.cfg.Path, statePath(s.cfg.Path))
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return st, err
	case s.file == nil || mine || st.Position.Compare(s.position) >= 0:
		return st, s.continues(st, st.Position)
	}
	// There is no state yet, or the file was moved away while its last line was the only record of the position.
	st = state{Origin: s.origin, Position: s.position, Begun: time.Now().UTC()}
	return st, writeState(s.cfg.Path, st)
}

// continues checks that a file whose last event is at position, with the state st, is one of this stream.
func (s *Sink) continues(st state, position decoder.Position) error {
	if err := s.origin.Continues(st.Origin, position); err != nil {
		return fmt.Errorf("%s: %w: move it and %s away, or configure another path", s.cfg.Path, err, filepath.Base(statePath(s.cfg.Path)))
	}
	return nil
}

// load finds where the events among the length bytes of file end, cuts what follows, and makes file and directory durable.
func (s *Sink) load(file *os.File, length int64, mine bool, st state) error {
	size := length
	if mine {
		// What lies behind s.size is of a failed Write. It is not kept even where it is whole: after a failed fsync it may
		// be nowhere but in the page cache.
		if size < s.size {
			return s.changedError(size, s.size)
		}
		size = s.size
	}
	start, end, err := lastLine(file, size)
	if err != nil {
		return err
	}
	position := st.Position
	if end > 0 {
		if position, err = linePosition(file, start, end); err != nil {
			return fmt.Errorf("%w: %s: the last line is no audit event: %w: move the file away", sink.ErrForeign, s.cfg.Path, err)
		}
	}
	// Before anything is cut or written: a file that is refused stays as it is.
	if err := s.continues(st, position); err != nil {
		return err
	}
	if known := maxPosition(st.Position, s.position); position.Compare(known) < 0 {
		return fmt.Errorf("%w: %s ends at %s, but events up to %s were written: restore the file, or move it away to go on in a new one",
			sink.ErrForeign, s.cfg.Path, position, known)
	}
	if end == 0 && !mine {
		if err := s.checkBeginning(file); err != nil {
			return err
		}
	}
	if end < length {
		if err := file.Truncate(end); err != nil {
			return err
		}
		if !mine {
			s.log.Warn("cut what a crash had left behind the last whole line", "bytes", length-end, "position", position)
		}
	}
	// Also where nothing was cut: a process that was killed before its fsync leaves lines that only the page cache holds.
	if err := file.Sync(); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(s.cfg.Path)); err != nil {
		return err
	}
	if st.Timeline != s.origin.Timeline {
		st.Origin = s.origin
		if err := writeState(s.cfg.Path, st); err != nil {
			return err
		}
		s.log.Info("going on with the file on the server's new timeline", "timeline", s.origin.Timeline, "position", position)
	}
	if _, err := file.Seek(end, io.SeekStart); err != nil {
		return err
	}
	s.size, s.position, s.begun = end, position, st.Begun
	return nil
}

// checkBeginning refuses a file without a single whole line unless it is our own first line that was torn, or the zeros
// that a power loss left of it: cutting would empty it.
func (s *Sink) checkBeginning(file *os.File) error {
	const beginning = `{"id":"`
	var buf [len(beginning)]byte
	n, err := file.ReadAt(buf[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	got := bytes.TrimRight(buf[:n], "\x00")
	if !strings.HasPrefix(beginning, string(got)) {
		return fmt.Errorf("%w: %s is not a file of audit events: move it away", sink.ErrForeign, s.cfg.Path)
	}
	return nil
}

func (s *Sink) changedError(size, want int64) error {
	return fmt.Errorf("%w: %s was changed by another program: it has %d bytes instead of %d, and confirmed events may be gone: "+
		"restore it, or move it away to go on in a new one (a log rotation must rename the file, not copy and truncate it)",
		sink.ErrForeign, s.cfg.Path, size, want)
}
