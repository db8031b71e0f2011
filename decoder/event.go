package decoder

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
)

// Kind says what an event tells about the audit table.
type Kind uint8

const (
	// KindAudit is a row that a trigger added to the audit table.
	KindAudit Kind = iota
	// KindTamper is a change to rows that were already in the audit table: evidence was altered.
	KindTamper
	// KindRetention is a DELETE of audit rows that its transaction announced (RetentionPrefix). Whoever may delete audit
	// rows can announce it: it is a word for what was done, and no proof that it should have been.
	KindRetention
)

// String is the word used in the native format: "audit", "tamper" or "retention".
func (k Kind) String() string {
	switch k {
	case KindTamper:
		return "tamper"
	case KindRetention:
		return "retention"
	}
	return "audit"
}

// Op is an SQL operation.
type Op uint8

// The operations, on the audit table itself (Event.Op) or on the table being audited (Event.Audited).
const (
	OpInsert Op = iota
	OpUpdate
	OpDelete
	OpTruncate
	// OpOther is anything else that a row's event_type may say.
	OpOther
	// NumOps is how many operations there are: the size of an array with one element each.
	NumOps
)

// String is the word used in the native format and as a metric label: "insert", "update", "delete", "truncate", "other".
func (o Op) String() string {
	switch o {
	case OpInsert:
		return "insert"
	case OpUpdate:
		return "update"
	case OpDelete:
		return "delete"
	case OpTruncate:
		return "truncate"
	}
	return "other"
}

// Event is one audit event, rendered once, while it is decoded, into one line of the native format:
//
//	{"id":"42-9c1185a5c5e9fc54","kind":"audit","op":"insert","source":"shop","table":"public.custom_audit_log",
//	 "lsn":"0/16B3748","seq":0,"xid":742,"commit_time":"2026-11-23T08:30:00.123456Z","row":{…}}
//
// (on one line, in this order of keys). A tamper event may have two more keys after row: "old", the row before the change
// where PostgreSQL sent it, and "unchanged", the names of columns that PostgreSQL did not send because an UPDATE left
// their out-of-line values alone. An incomplete audit event ends in "incomplete":true.
//
// An Event refers to memory of the Batch it was decoded into and is valid until that batch is reset.
type Event struct {
	Position
	// Table is the qualified name of the relation that was changed, "public.custom_audit_log".
	Table string

	line         []byte // with its newline
	named        named
	commitMicros int64 // since the Unix epoch
	rowEnd       int
	rowStart     int32
	idEnd        int32 // the id's text is line[idStart:idEnd]
	xid          uint32
	kind         Kind
	op, audited  Op
	incomplete   bool
}

// idStart is where the id's text begins in every line.
const idStart = len(`{"id":"`)

// Line is the event in the native format, with a newline at its end. The bytes belong to the batch: read only.
func (e *Event) Line() []byte { return e.line }

// JSON is the event in the native format, without a newline. The bytes belong to the batch: read only.
func (e *Event) JSON() []byte { return e.line[:len(e.line)-1] }

// With returns a copy of e, in memory of its own, whose line ends in one member more: name, which needs no escape, and value,
// which is JSON.
func (e *Event) With(name string, value []byte) Event {
	with := *e
	with.line = make([]byte, 0, len(e.line)+len(name)+len(value)+len(`,"":`))
	with.line = append(append(with.line, e.JSON()[:len(e.JSON())-1]...), `,"`...)
	with.line = append(append(append(with.line, name...), `":`...), value...)
	with.line = append(with.line, "}\n"...)
	return with
}

// Clone returns a copy of e in memory of its own, which outlasts the batch.
func (e *Event) Clone() Event {
	clone := *e
	clone.line = bytes.Clone(e.line)
	return clone
}

// Row is the value of the native format's "row": a JSON object, or null for a TRUNCATE. Read only, as Line is.
func (e *Event) Row() []byte { return e.line[e.rowStart:e.rowEnd] }

// ID is the event's stable key: the same event has the same ID on a replay, on another slot and after a failover. That of
// an audit row with a primary key follows from the row alone, "42-9c1185a5c5e9fc54", and can be worked out from the table;
// any other ends in the event's position, "42-9c1185a5c5e9fc54-0/16B3748/0".
func (e *Event) ID() string {
	text := e.line[idStart:e.idEnd]
	if slices.Contains(text, '\\') {
		var s string
		// The bytes were escaped by this package; quoted again they are a JSON string, which cannot fail to parse.
		_ = json.Unmarshal(e.line[idStart-1:e.idEnd+1], &s)
		return s
	}
	return string(text)
}

// Kind says whether a row was added, as it should be, or tampered with, or expired.
func (e *Event) Kind() Kind { return e.kind }

// Op is the operation on the audit table: OpInsert for KindAudit.
func (e *Event) Op() Op { return e.op }

// Audited is the operation on the table being audited, as the row's event_type column says (in any case of letters);
// OpOther where there is no such column or it says something else.
func (e *Event) Audited() Op { return e.audited }

// AuditedTable is the name of the table being audited, as the row's table_name column has it: seldom with its schema. It is
// nil where there is no such column, or no value in it. Read only, as Line is.
func (e *Event) AuditedTable() []byte { return e.text(namingTable) }

// AuditedSchema is the schema of that table, as the row's schema_name column has it; nil as AuditedTable is, and always for
// the seed's audit table, which has no such column. Read only, as Line is.
func (e *Event) AuditedSchema() []byte { return e.text(namingSchema) }

// User is who made the change, as the row's user_name column has it; nil as AuditedTable is. Read only, as Line is.
func (e *Event) User() []byte { return e.text(namingUser) }

// text is the value of one of the columns that name something.
func (e *Event) text(naming int) []byte {
	at := e.named[naming]
	if at.end == 0 {
		return nil
	}
	quoted := e.line[e.rowStart:][at.start:at.end]
	if text := quoted[1 : len(quoted)-1]; !bytes.ContainsRune(text, '\\') {
		return text
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // as in ID
	return []byte(s)
}

// Incomplete says that the row tells of a DELETE and not of what was deleted: the seed's trigger writes nothing but nulls
// into row_data then. The event is delivered as it is.
func (e *Event) Incomplete() bool { return e.incomplete }

// XID is the transaction's id, without its epoch.
func (e *Event) XID() uint32 { return e.xid }

// CommitTime is when the transaction committed, by the server's clock, in microseconds and UTC.
func (e *Event) CommitTime() time.Time { return time.UnixMicro(e.commitMicros).UTC() }
