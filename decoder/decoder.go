package decoder

import (
	"fmt"
	"strings"
)

// Config says whose events to decode.
type Config struct {
	// Source is the value of every event's "source". Defaults to "".
	Source string
	// Schema and Table name the audit table. Changes of other relations, which a shared publication may carry, are
	// not events.
	Schema, Table string
	// RelationOID is the audit table's OID, by which it is known even after a rename. Defaults to 0: by name only, until a
	// Reset.
	RelationOID uint32
	// Former are the OIDs of tables that were the audit table before another one took their name. Their changes are events
	// too. Defaults to none.
	Former []uint32
	// Key names the columns of the audit table's primary key for where the stream itself does not: under a replica
	// identity other than DEFAULT, and for a deferrable key. Defaults to none: ids are made of digest and position there.
	Key []string
}

// Boundary says whether a message began or ended a transaction.
type Boundary uint8

const (
	// None is a message inside a transaction, or one that belongs to none.
	None Boundary = iota
	// Begin is the first message of a transaction.
	Begin
	// Commit is the last message of a transaction.
	Commit
)

// Result is what a message meant to the stream.
type Result struct {
	Boundary Boundary
	// End is, for a Commit, the end LSN of the commit record: what to confirm once all the transaction's events are
	// durable. It is exact; one byte more would skip a transaction whose commit record begins there.
	End LSN
	// Relation is the OID of the table that a RELATION message described, if its changes are events; otherwise 0.
	Relation uint32
}

// pgEpochMicros is 2000-01-01, PostgreSQL's epoch, in microseconds of Unix time.
const pgEpochMicros = 946_684_800_000_000

// Decoder turns the pgoutput messages of one replication session into events. It is not safe for concurrent use.
type Decoder struct {
	cfg       Config
	relations map[uint32]*relation
	types     map[uint32]format
	digest    digest
	row, old  []value // scratch

	open         bool // between BEGIN and COMMIT
	lsn          LSN
	seq          uint64
	xid          uint32
	commitMicros int64
	announced    []string // the tables of which it may delete rows as retention, from here on
	// between and after are what stands on both sides of "seq" in the lines of the open transaction.
	between, after []byte
}

// New returns a Decoder at the start of a session.
func New(cfg Config) *Decoder {
	cfg.Source = strings.ToValidUTF8(cfg.Source, "\uFFFD") // every line is UTF-8
	// A TRUNCATE is told by its nil row; a table without columns has an empty one.
	d := &Decoder{cfg: cfg, row: []value{}, old: []value{}}
	d.Reset()
	return d
}

// Reset forgets relations, types and an open transaction. A new session sends them all again.
func (d *Decoder) Reset() {
	d.relations = make(map[uint32]*relation)
	d.types = make(map[uint32]format)
	d.open = false
}

// InTransaction says whether a BEGIN was decoded and its COMMIT was not.
func (d *Decoder) InTransaction() bool { return d.open }

// Next is the position that the open transaction's next event will have.
func (d *Decoder) Next() Position { return Position{LSN: d.lsn, Seq: d.seq} }

var messageNames = map[byte]string{
	'B': "BEGIN", 'O': "ORIGIN", 'R': "RELATION", 'Y': "TYPE", 'I': "INSERT", 'U': "UPDATE", 'D': "DELETE",
	'T': "TRUNCATE", 'C': "COMMIT", 'M': "MESSAGE",
}

// Decode decodes one message, the payload of one XLogData, and appends its events to batch, or only counts them if batch
// is nil (they were delivered before). The message is not retained.
// An error is an *Error; the batch then holds what it held before, and the Decoder is good for nothing but a Reset.
func (d *Decoder) Decode(message []byte, batch *Batch) (Result, error) {
	if len(message) == 0 {
		return Result{}, &Error{Message: "empty", Reason: "there is not even a message type"}
	}
	r := reader{data: message}
	var result Result
	kind := r.uint8("message type")
	switch kind {
	case 'I':
		d.insert(&r, batch)
	case 'B':
		d.begin(&r)
		result.Boundary = Begin
	case 'C':
		result = Result{Boundary: Commit, End: d.commit(&r)}
	case 'R':
		result.Relation = d.relation(&r)
	case 'Y':
		d.typ(&r)
	case 'U':
		d.update(&r, batch)
	case 'D':
		d.delete(&r, batch)
	case 'T':
		d.truncate(&r, batch)
	case 'O':
		r.uint64("origin LSN")
		r.cstring("origin name")
		r.end()
	case 'M':
		d.message(&r)
	default:
		r.off = 0
		r.fail("message type %q is unknown to protocol version 1", kind)
	}
	// The values refer to the message, which may be large and is the caller's.
	clear(d.row)
	clear(d.old)
	d.row, d.old = d.row[:0], d.old[:0]
	if r.err != nil {
		r.err.Message = messageNames[kind]
		if r.err.Message == "" {
			r.err.Message = fmt.Sprintf("%q", kind)
		}
		return Result{}, r.err
	}
	return result, nil
}

func (d *Decoder) begin(r *reader) {
	lsn := LSN(r.uint64("final LSN"))
	micros := int64(r.uint64("commit time")) + pgEpochMicros
	xid := r.uint32("xid")
	r.end()
	if d.open {
		r.fail("the transaction before it (xid %d) has not ended", d.xid)
	}
	if r.err != nil {
		return
	}
	d.open, d.lsn, d.seq, d.xid, d.commitMicros = true, lsn, 0, xid, micros
	d.announced = d.announced[:0]
	d.between = d.between[:0] // made when the first event needs it: many transactions have none
}

func (d *Decoder) commit(r *reader) LSN {
	r.uint8("flags")
	lsn := LSN(r.uint64("commit LSN"))
	end := LSN(r.uint64("end LSN"))
	r.uint64("commit time")
	r.end()
	switch {
	case !d.open:
		r.fail("no transaction is open")
	case lsn != d.lsn:
		r.fail("the commit LSN %s is not the one that BEGIN announced, %s", lsn, d.lsn)
	case end <= lsn:
		r.fail("the end LSN %s is not past the commit LSN %s", end, lsn)
	}
	d.open = false
	return end
}

// target reads the relation OID of a change. It returns nil with an error, and nil without one for a relation that is
// not the audit table.
func (d *Decoder) target(r *reader) *relation {
	oid := r.uint32("relation OID")
	if r.err != nil {
		return nil
	}
	if !d.open {
		r.fail("no transaction is open")
		return nil
	}
	rel := d.relations[oid]
	r.relation = ""
	if rel == nil {
		r.fail("no RELATION message came for OID %d", oid)
		return nil
	}
	r.relation = rel.name
	if !rel.audit {
		return nil
	}
	return rel
}

func (d *Decoder) insert(r *reader, batch *Batch) {
	rel := d.target(r)
	if rel == nil {
		return
	}
	if tag := r.uint8("tuple kind"); tag != tupleNew {
		r.fail("tuple kind %q where a new tuple belongs", tag)
		return
	}
	d.row = r.tuple(rel, tupleNew, d.row)
	r.end()
	d.emit(r, batch, rel, change{op: OpInsert, row: d.row})
}

func (d *Decoder) update(r *reader, batch *Batch) {
	rel := d.target(r)
	if rel == nil {
		return
	}
	c := change{op: OpUpdate}
	tag := r.uint8("tuple kind")
	if tag == tupleKey || tag == tupleOld {
		d.old = r.tuple(rel, tag, d.old)
		c.old = d.old
		tag = r.uint8("tuple kind")
	}
	if tag != tupleNew {
		r.fail("tuple kind %q where a new tuple belongs", tag)
		return
	}
	d.row = r.tuple(rel, tag, d.row)
	c.row = d.row
	r.end()
	d.emit(r, batch, rel, c)
}

func (d *Decoder) delete(r *reader, batch *Batch) {
	rel := d.target(r)
	if rel == nil {
		return
	}
	tag := r.uint8("tuple kind")
	if tag != tupleKey && tag != tupleOld {
		r.fail("tuple kind %q where an old tuple belongs", tag)
		return
	}
	d.row = r.tuple(rel, tag, d.row)
	r.end()
	d.emit(r, batch, rel, change{op: OpDelete, row: d.row})
}

func (d *Decoder) truncate(r *reader, batch *Batch) {
	n := int(r.uint32("number of relations"))
	r.uint8("options")
	const oidSize = 4
	if left := len(r.data) - r.off; r.err == nil && (left%oidSize != 0 || n != left/oidSize) {
		r.fail("%d relations do not fit the %d bytes left", n, left)
	}
	// All are looked up before the first event is made: a message with an error leaves the batch as it was.
	var audit []*relation
	for range n {
		rel := d.target(r)
		if r.err != nil {
			return
		}
		if rel != nil {
			audit = append(audit, rel)
		}
	}
	for _, rel := range audit {
		d.emit(r, batch, rel, change{op: OpTruncate})
	}
}
