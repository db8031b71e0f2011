package decoder

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// reader walks over one message. The first error sticks and every later read gives zero, so that a parser reads a whole
// message and asks once.
type reader struct {
	data     []byte
	off      int
	relation string // for the error, once it is known
	err      *Error
}

// fail records what is wrong at the current offset, if nothing was wrong before.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Relation: r.relation, Offset: r.off, Reason: fmt.Sprintf(format, args...)}
		r.off = len(r.data)
	}
}

// bytes takes the next n bytes; what names them in an error.
func (r *reader) bytes(n int, what string) []byte {
	if n < 0 || n > len(r.data)-r.off {
		r.fail("%s needs %d bytes, %d are left", what, n, len(r.data)-r.off)
		return nil
	}
	b := r.data[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

func (r *reader) uint8(what string) byte {
	if b := r.bytes(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16(what string) uint16 {
	if b := r.bytes(2, what); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32(what string) uint32 {
	if b := r.bytes(4, what); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64(what string) uint64 {
	if b := r.bytes(8, what); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// sized takes a length of four bytes and that many bytes after it.
func (r *reader) sized(what string) []byte {
	n := r.uint32(what)
	if r.err != nil {
		return nil
	}
	if int64(n) > int64(len(r.data)-r.off) {
		r.fail("%s needs %d bytes, %d are left", what, n, len(r.data)-r.off)
		return nil
	}
	return r.bytes(int(n), what)
}

// cstring takes the bytes up to the next NUL, and the NUL.
func (r *reader) cstring(what string) []byte {
	n := bytes.IndexByte(r.data[r.off:], 0)
	if n < 0 {
		r.fail("%s has no end", what)
		return nil
	}
	b := r.bytes(n, what)
	r.off++
	return b
}

// end checks that nothing is left over: trailing bytes mean that the message was not understood.
func (r *reader) end() {
	if left := len(r.data) - r.off; left > 0 {
		r.fail("%d bytes too many", left)
	}
}
