package crashtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// follower reads the file of a sink as it grows, over its rotations, and compares each line with the reference.
type follower struct {
	path string

	file     *os.File // what the path named when it was opened, nil before it is there
	rest     []byte   // the torn line at its end
	rotated  []string // the parts that were read to their ends
	lines    int      // whole lines read
	pending  []row    // those of them that the reference did not have yet
	checked  int      // those that were the reference's
	numbered map[string]uint64
}

func newFollower(path string) *follower { return &follower{path: path, numbered: map[string]uint64{}} }

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close() // was only read
	}
}

// poll reads what was added. complete says whether that was all there was when it began: in the midst of a rotation, or
// after a crash in the midst of one, it cannot be known.
func (f *follower) poll() (complete bool, err error) {
	if f.file == nil {
		if done, err := f.advance(); err != nil || !done {
			return false, err
		}
	}
	for {
		// The look at the path comes before the read: a file that was renamed then gets no more lines.
		moved, err := f.moved()
		if err != nil {
			return false, err
		}
		if err := f.read(f.file); err != nil || !moved {
			return err == nil, err
		}
		if len(f.rest) > 0 {
			return false, fmt.Errorf("%s was rotated with half a line at its end", f.path)
		}
		if done, err := f.advance(); err != nil || !done {
			return false, err
		}
	}
}

// moved says whether the path names another file than the one that is read, or none.
func (f *follower) moved() (bool, error) {
	info, err := f.file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(info, named), err
}

// advance goes on to the file that the path names now, over the parts between. It does nothing and returns false while
// the path names none, or no longer the one that it did.
func (f *follower) advance() (bool, error) {
	next, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	names, err := parts(f.path)
	if err == nil {
		var named, opened os.FileInfo
		if opened, err = next.Stat(); err == nil {
			if named, err = os.Stat(f.path); err == nil && !os.SameFile(named, opened) {
				err = fs.ErrNotExist
			}
		}
	}
	if err != nil {
		_ = next.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // rotated in between
		}
		return false, err
	}
	fresh := slices.DeleteFunc(names, func(name string) bool { return slices.Contains(f.rotated, name) })
	f.rotated = append(f.rotated, fresh...)
	if f.file != nil {
		if len(fresh) == 0 {
			_ = next.Close()
			return false, fmt.Errorf("%s was replaced, and no rotated part was left", f.path)
		}
		fresh = fresh[1:] // the first is the one that was read until now
	}
	for _, name := range fresh {
		if err := f.readPart(name); err != nil {
			_ = next.Close()
			return false, err
		}
	}
	f.close()
	f.file = next
	return true, nil
}

func (f *follower) readPart(name string) error {
	part, err := openPart(name)
	if err != nil {
		return err
	}
	defer part.Close()
	if err := f.read(part); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(f.rest) > 0 {
		return fmt.Errorf("%s ends with half a line", name)
	}
	return nil
}

func (f *follower) read(from io.Reader) error {
	if len(f.rest) > 0 && from == f.file {
		// A crash may have cut it, and a shorter one may have been written since.
		if _, err := f.file.Seek(-int64(len(f.rest)), io.SeekCurrent); err != nil {
			return err
		}
		f.rest = nil
	}
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	for {
		line, rest, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			f.rest = text
			return nil
		}
		text = rest
		r, err := parseLine(line)
		if err != nil {
			return fmt.Errorf("%s: line %d: %w: %.200s", f.path, f.lines+1, err, line)
		}
		f.lines++
		f.pending = append(f.pending, r)
	}
}

// check compares the lines with the reference, as far as that has got.
func (f *follower) check(want []row) error {
	for len(f.pending) > 0 && f.checked < len(want) {
		got := f.pending[0]
		if got != want[f.checked] {
			return f.explain(want)
		}
		if got.label != "" {
			if got.number <= f.numbered[got.label] {
				return fmt.Errorf("%s: line %d is out of order in its connection: %v after number %d", f.path, f.checked+1, got, f.numbered[got.label])
			}
			f.numbered[got.label] = got.number
		}
		f.pending = f.pending[1:]
		f.checked++
	}
	return nil
}

// explain says what is wrong with the line that is not the reference's: missing rows before it, or one that is too many.
func (f *follower) explain(want []row) error {
	got := f.pending[0]
	if i := slices.Index(want[f.checked:], got); i > 0 {
		return fmt.Errorf("%s: line %d: %d rows are missing before %v, the first is %v", f.path, f.checked+1, i, got, want[f.checked])
	}
	if i := slices.Index(want[:f.checked], got); i >= 0 {
		return fmt.Errorf("%s: line %d: %v came before, in line %d", f.path, f.checked+1, got, i+1)
	}
	return fmt.Errorf("%s: line %d: got %v, want %v", f.path, f.checked+1, got, want[f.checked])
}

func parseLine(line []byte) (row, error) {
	var event struct {
		Kind string
		LSN  string
		Seq  uint64
		XID  uint32
		Row  struct {
			ID             json.Number
			EventType      *string         `json:"event_type"`
			EventTimestamp *string         `json:"event_timestamp"`
			UserName       *string         `json:"user_name"`
			TableName      *string         `json:"table_name"`
			RowData        json.RawMessage `json:"row_data"`
		}
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return row{}, err
	}
	if event.Kind != "audit" {
		return row{}, fmt.Errorf("the kind is %q", event.Kind)
	}
	lsn, err := pglogrepl.ParseLSN(event.LSN)
	if err != nil {
		return row{}, err
	}
	text := func(value *string) string {
		if value == nil {
			return null
		}
		return *value
	}
	r := row{lsn: lsn, seq: event.Seq, xid: event.XID}
	r.setColumns([]string{
		event.Row.ID.String(), text(event.Row.EventType), strings.Replace(text(event.Row.EventTimestamp), "T", " ", 1),
		text(event.Row.UserName), text(event.Row.TableName), string(event.Row.RowData),
	})
	return r, nil
}

var partName = regexp.MustCompile(`-([0-9A-F]{1,8})-([0-9A-F]{1,8})-(\d+)\.jsonl(\.gz|\.zst)?$`)

// parts returns the rotated parts of the file at path in the order of their positions, without what compression adds. It looks
// until it sees the same twice: a directory that is read while a part is replaced by its compressed one may show neither.
func parts(path string) ([]string, error) {
	before, err := look(path)
	for err == nil {
		var now []string
		if now, err = look(path); slices.Equal(now, before) {
			return now, err
		}
		before = now
	}
	return nil, err
}

// look is one look of parts.
func look(path string) ([]string, error) {
	entries, err := filepath.Glob(strings.TrimSuffix(path, ".jsonl") + "-*")
	if err != nil {
		return nil, err
	}
	type part struct {
		name string
		lsn  pglogrepl.LSN
		seq  uint64
	}
	var found []part
	for _, entry := range entries {
		m := partName.FindStringSubmatch(entry)
		if m == nil {
			continue
		}
		p := part{name: strings.TrimSuffix(entry, m[4])}
		if p.lsn, err = pglogrepl.ParseLSN(m[1] + "/" + m[2]); err != nil {
			return nil, err
		}
		if _, err := fmt.Sscan(m[3], &p.seq); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	slices.SortFunc(found, func(a, b part) int { return cmp.Or(cmp.Compare(a.lsn, b.lsn), cmp.Compare(a.seq, b.seq)) })
	var names []string
	for _, p := range slices.Compact(found) { // a part may be there twice while it is compressed
		names = append(names, p.name)
	}
	return names, nil
}

// openPart opens a part, whether it is compressed or not.
func openPart(name string) (io.ReadCloser, error) {
	file, err := os.Open(name)
	if err == nil {
		return file, nil
	}
	if file, err = os.Open(name + ".gz"); err == nil {
		reader, err := gzip.NewReader(file)
		return stacked{reader, file}, err
	}
	if file, err = os.Open(name + ".zst"); err == nil {
		reader, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
		return stacked{reader, zstdCloser{reader, file}}, err
	}
	return nil, err
}

type stacked struct {
	io.Reader
	io.Closer
}

type zstdCloser struct {
	decoder *zstd.Decoder
	file    *os.File
}

func (c zstdCloser) Close() error {
	c.decoder.Close()
	return c.file.Close()
}
