package decoder

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log, in bytes since the cluster was made.
type LSN uint64

// String renders the position as PostgreSQL does: two hexadecimal halves, "16/B3748".
func (l LSN) String() string { return string(l.Append(nil)) }

// Append appends what String returns to dst.
func (l LSN) Append(dst []byte) []byte {
	dst = appendUpperHex(dst, uint32(l>>32))
	dst = append(dst, '/')
	return appendUpperHex(dst, uint32(l))
}

// MarshalText makes an LSN a string in JSON and in configuration.
func (l LSN) MarshalText() ([]byte, error) { return l.Append(nil), nil }

// UnmarshalText is the inverse of MarshalText.
func (l *LSN) UnmarshalText(text []byte) error {
	parsed, err := ParseLSN(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}

// ParseLSN reads the form PostgreSQL prints: one to eight hexadecimal digits on each side of one slash.
func ParseLSN(s string) (LSN, error) {
	high, low, ok := strings.Cut(s, "/")
	if !ok || len(high) > 8 || len(low) > 8 {
		return 0, fmt.Errorf("%q is not an LSN (want two hexadecimal numbers around a slash, such as 16/B3748)", s)
	}
	h, herr := strconv.ParseUint(high, 16, 32)
	l, lerr := strconv.ParseUint(low, 16, 32)
	if herr != nil || lerr != nil {
		return 0, fmt.Errorf("%q is not an LSN (want two hexadecimal numbers around a slash, such as 16/B3748)", s)
	}
	return LSN(h<<32 | l), nil
}

func appendUpperHex(dst []byte, v uint32) []byte {
	const digits = "0123456789ABCDEF"
	shift := 28
	for shift > 0 && v>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		dst = append(dst, digits[v>>shift&0xF])
	}
	return dst
}

// Position is the order key of an event: the commit LSN of its transaction, then its ordinal in it. Positions grow in
// the order in which the events are delivered; the zero Position stands before every event.
type Position struct {
	LSN LSN    `json:"lsn"`
	Seq uint64 `json:"seq"`
}

// Compare returns -1, 0 or +1 as p stands before, at or after q.
func (p Position) Compare(q Position) int {
	if c := cmp.Compare(p.LSN, q.LSN); c != 0 {
		return c
	}
	return cmp.Compare(p.Seq, q.Seq)
}

// IsZero says whether p stands before every event.
func (p Position) IsZero() bool { return p == Position{} }

// String renders the position as "lsn/seq", "0/16B3748/0".
func (p Position) String() string {
	return string(strconv.AppendUint(append(p.LSN.Append(nil), '/'), p.Seq, 10))
}
