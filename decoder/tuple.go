package decoder

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// status of one column's value in a tuple, in the letters of the protocol.
const (
	valueNull      = 'n'
	valueUnchanged = 'u' // stored out of line and left alone by an UPDATE: not sent
	valueText      = 't'
)

// The kinds of tuple, in the letters of the protocol.
const (
	tupleNew = 'N'
	tupleKey = 'K' // an old row's replica identity
	tupleOld = 'O' // an old row, under REPLICA IDENTITY FULL
)

// value is one column's value: its status and, where that is valueText, the output function's text. The zero value is a
// column that is not known, as those outside a tupleKey's replica identity: they are sent as nulls, and are not.
type value struct {
	status byte
	text   []byte
	off    int // where in the message the text begins
}

// tuple reads a TupleData for rel into dst and returns it. The values refer to the message.
func (r *reader) tuple(rel *relation, kind byte, dst []value) []value {
	dst = dst[:0]
	if n := int(r.uint16("number of columns")); r.err == nil && n != len(rel.columns) {
		r.fail("the tuple has %d columns, the relation has %d", n, len(rel.columns))
	}
	for i := range rel.columns {
		v := value{status: r.uint8("column status")}
		switch v.status {
		case valueNull, valueUnchanged:
		case valueText:
			v.text = r.sized("column value")
			v.off = r.off - len(v.text)
		default:
			if r.err == nil {
				r.off--
				r.fail("column %d has the unknown status %q", i+1, v.status)
			}
		}
		if r.err != nil {
			return dst
		}
		if kind == tupleKey && !rel.columns[i].identity {
			v = value{}
		}
		dst = append(dst, v)
	}
	return dst
}

// digest is the row's fingerprint: SHA-256 over every non-null column in the order of the names; the name, then the
// text, each after its length in 4 bytes big-endian. It is owned by one Decoder.
type digest struct {
	hash    hash.Hash
	scratch []byte
	sum     [sha256.Size]byte
}

// of returns the digest of row, valid until the next call; a nil row is one without columns.
func (g *digest) of(rel *relation, row []value) []byte {
	if g.hash == nil {
		g.hash = sha256.New()
	}
	g.hash.Reset()
	// A column at a time would be four calls of the hash for each; a large value is not worth copying.
	const large = 4 << 10
	buf := g.scratch[:0]
	for _, i := range rel.byName {
		if row == nil || row[i].status != valueText {
			continue
		}
		buf = append(buf, rel.columns[i].digestKey...)
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(row[i].text)))
		if len(row[i].text) < large {
			buf = append(buf, row[i].text...)
		}
		if len(row[i].text) >= large || len(buf) >= large {
			g.hash.Write(buf)
			buf = buf[:0]
		}
		if len(row[i].text) >= large {
			g.hash.Write(row[i].text)
		}
	}
	g.hash.Write(buf)
	g.scratch = buf
	return g.hash.Sum(g.sum[:0])
}
