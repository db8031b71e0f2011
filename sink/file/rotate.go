package file

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/failpoint"
)

func (s *Sink) rotationDue(events []decoder.Event) bool {
	if s.size == 0 {
		return false
	}
	if s.cfg.RotateEvery > 0 && time.Since(s.begun) >= s.cfg.RotateEvery {
		return true
	}
	if s.cfg.RotateSize == 0 {
		return false
	}
	size := s.size
	for i := range events {
		size += int64(len(events[i].Line()))
	}
	return size > s.cfg.RotateSize
}

// rotate renames the file, which holds nothing but durable lines, and begins a new one. A crash can come between any two
// steps; this is what Open then finds:
//
//  1. before the state is replaced: a full file, and the position is that of its last line.
//  2. before the rename: the same, and the state's position is that of the last line too. The size is exceeded again by
//     the next Write; an age is counted anew, so that the file may get twice as old.
//  3. before the new file is made: no file, and the position is the state's. Open makes an empty file.
//  4. before the directory is fsynced, with a power loss: the directory of 2, 3 or 5. The state's fsync was before, so its
//     position is there; and no line was written to the new file, so none is lost with its entry.
//  5. afterwards: an empty file, and the position is the state's.
func (s *Sink) rotate() error {
	failpoint.Hit("file.rotate.1")
	// Names must sort in the order of rotation, also when the clock was set back.
	now := time.Now().UTC()
	if now.Before(s.begun) {
		now = s.begun
	}
	if err := writeState(s.cfg.Path, state{Origin: s.origin, Position: s.position, Begun: now}); err != nil {
		return err
	}
	failpoint.Hit("file.rotate.2")
	s.stale = true
	// Windows does not rename an open file.
	if err := s.closeFile(); err != nil {
		return err
	}
	if err := os.Rename(s.cfg.Path, rotatedName(s.cfg.Path, now, s.position)); err != nil {
		return err
	}
	failpoint.Hit("file.rotate.3")
	s.size = 0
	if err := s.attach(); err != nil { // makes the file and fsyncs the directory
		return err
	}
	failpoint.Hit("file.rotate.4")
	s.archiver.wake()
	return nil
}

// rotated is a file that was rotated away.
type rotated struct {
	name       string // without the extension that compression added
	compressed string // that extension: ".gz", ".zst" or ""
	time       string // in a form that sorts
	last       decoder.Position
}

// rotatedName is where the file at path, which ends at last, is moved to: "audit.jsonl" becomes
// "audit-20261123T083000Z-0-16B3748-7.jsonl". No two rotations of one origin give the same name, because last grows.
func rotatedName(path string, at time.Time, last decoder.Position) string {
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s-%s-%s-%d%s", strings.TrimSuffix(path, ext), at.Format("20060102T150405Z"),
		strings.Replace(last.LSN.String(), "/", "-", 1), last.Seq, ext)
}

// listRotated returns the rotated files beside path, oldest first. Other files are none of ours, however they are named.
func listRotated(path string) ([]rotated, error) {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(filepath.Base(path), ext)
	pattern := regexp.MustCompile(`^(` + regexp.QuoteMeta(stem) + `-(\d{8}T\d{6}Z)-([0-9A-F]{1,8})-([0-9A-F]{1,8})-(\d+)` +
		regexp.QuoteMeta(ext) + `)(\.gz|\.zst)?$`)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var files []rotated
	for _, entry := range entries {
		m := pattern.FindStringSubmatch(entry.Name())
		if m == nil || !entry.Type().IsRegular() {
			continue
		}
		lsn, err := decoder.ParseLSN(m[3] + "/" + m[4])
		if err != nil {
			continue
		}
		seq, err := strconv.ParseUint(m[5], 10, 64)
		if err != nil {
			continue
		}
		files = append(files, rotated{
			name:       filepath.Join(filepath.Dir(path), m[1]),
			compressed: m[6],
			time:       m[2],
			last:       decoder.Position{LSN: lsn, Seq: seq},
		})
	}
	// The position orders what was rotated in the same second. It does not come first: files of a former cluster, whose
	// positions mean nothing here, may lie beside ours.
	slices.SortFunc(files, func(a, b rotated) int { return cmp.Or(cmp.Compare(a.time, b.time), a.last.Compare(b.last)) })
	return files, nil
}
