package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"pgwitness/decoder"
)

const (
	readSize = 64 << 10
	// maxHead bounds how much of a line is read for its position. Only the id comes before that without a fixed bound,
	// and it is as long as the text of a primary key.
	maxHead = 4 << 20
)

// lastLine finds the last whole line in the first size bytes of r: it begins at start, and its newline ends at end. Both
// are 0 if there is none. Only the last maxUnsynced bytes can hold anything but whole lines, so it reads those lines and
// returns the last one before the first that is not a JSON object; memory is bounded whatever the length of the lines.
func lastLine(r io.ReaderAt, size int64) (start, end int64, err error) {
	begin, err := lineStart(r, max(0, size-maxUnsynced))
	if err != nil {
		return 0, 0, err
	}
	start, end, err = wholeLines(io.NewSectionReader(r, begin, size-begin))
	if err != nil {
		return 0, 0, err
	}
	if end > 0 {
		return begin + start, begin + end, nil
	}
	if begin == 0 {
		return 0, 0, nil
	}
	start, err = lineStart(r, begin-1)
	return start, begin, err
}

// lineStart returns where the line begins that the byte at offset belongs to.
func lineStart(r io.ReaderAt, offset int64) (int64, error) {
	var buf [readSize]byte
	for offset > 0 {
		n := min(offset, readSize)
		if _, err := r.ReadAt(buf[:n], offset-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return offset - n + int64(i) + 1, nil
		}
		offset -= n
	}
	return 0, nil
}

// wholeLines reads lines as long as they are whole JSON objects, and returns the bounds of the last one, 0 and 0 if the
// first is torn already. It does not parse: what was written here was valid, so it is enough that strings and brackets are
// closed and that no control character (as in a hole of zeros) stands where JSON has none.
func wholeLines(r io.Reader) (start, end int64, err error) {
	var (
		buf               [readSize]byte
		offset, lineBegin int64
		depth             int
		inString, escaped bool
	)
	for {
		n, err := r.Read(buf[:])
		for i, c := range buf[:n] {
			switch {
			case inString:
				switch {
				case c < ' ':
					return start, end, nil
				case escaped:
					escaped = false
				case c == '\\':
					escaped = true
				case c == '"':
					inString = false
				}
				continue
			case c == '\n':
				if depth > 0 || offset+int64(i) == lineBegin {
					return start, end, nil
				}
				start, end = lineBegin, offset+int64(i)+1
				lineBegin = end
				continue
			case depth == 0 && (c != '{' || offset+int64(i) != lineBegin), c < ' ' && c != '\t':
				return start, end, nil
			}
			switch c {
			case '"':
				inString = true
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
		}
		offset += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return start, end, nil
		case err != nil:
			return 0, 0, err
		}
	}
}

// linePosition reads the position of the event whose line lies between start and end. It stands before the row, which may
// be large and is not read.
func linePosition(r io.ReaderAt, start, end int64) (decoder.Position, error) {
	var position decoder.Position
	dec := json.NewDecoder(io.NewSectionReader(r, start, min(end-start, maxHead)))
	if _, err := dec.Token(); err != nil {
		return position, err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return position, err
		}
		switch key {
		case "lsn":
			err = dec.Decode(&position.LSN)
		case "seq":
			// The last of the two in the native format.
			if err := dec.Decode(&position.Seq); err != nil {
				return position, err
			}
			if position.LSN == 0 {
				return position, errors.New("it has no lsn before its seq")
			}
			return position, nil
		case "row":
			return position, errors.New("it has no lsn and seq before its row")
		default:
			_, err = dec.Token()
		}
		if err != nil {
			return position, err
		}
	}
	return position, errors.New("it has no lsn and seq")
}
