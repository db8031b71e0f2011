// Package pgoutputtest encodes pgoutput messages as a server of protocol version 1 sends them. The decoder's tests, the
// scripted server of the simulation and the sinks' tests make their input with it.
package pgoutputtest

import (
	"encoding/binary"
	"time"

	"pgwitness/decoder"
)

// Column is one column of a relation.
type Column struct {
	Name string
	Type uint32 // OID of the type
	Key  bool   // part of the replica identity
}

// Built-in type OIDs that tests use often.
const (
	Bool        = 16
	Bytea       = 17
	Int8        = 20
	Int4        = 23
	Text        = 25
	JSON        = 114
	Float8      = 701
	Varchar     = 1043
	Date        = 1082
	Timestamp   = 1114
	Timestamptz = 1184
	Numeric     = 1700
	JSONB       = 3802
)

// RelationOID is the OID that AuditRelation gives the seed's audit table.
const RelationOID = 16385

// AuditRelation is the RELATION message of the seed's audit table.
func AuditRelation() []byte {
	return Relation(RelationOID, "public", "custom_audit_log", 'd',
		Column{"id", Int4, true}, Column{"event_type", Varchar, false}, Column{"event_timestamp", Timestamp, false},
		Column{"user_name", Varchar, false}, Column{"table_name", Varchar, false}, Column{"row_data", JSONB, false})
}

// Begin encodes a BEGIN message.
func Begin(lsn decoder.LSN, at time.Time, xid uint32) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'B'}, uint64(lsn))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, micros(at)), xid)
}

// Commit encodes a COMMIT message for the transaction whose commit record begins at lsn and ends at end.
func Commit(lsn, end decoder.LSN, at time.Time) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'C', 0}, uint64(lsn))
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(end)), micros(at))
}

// Relation encodes a RELATION message; identity is pg_class.relreplident.
func Relation(oid uint32, schema, name string, identity byte, columns ...Column) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'R'}, oid)
	b = append(cstring(cstring(b, schema), name), identity)
	b = binary.BigEndian.AppendUint16(b, uint16(len(columns)))
	for _, c := range columns {
		flags := byte(0)
		if c.Key {
			flags = 1
		}
		b = cstring(append(b, flags), c.Name)
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, c.Type), ^uint32(0))
	}
	return b
}

// Type encodes a TYPE message; a schema of "" is pg_catalog.
func Type(oid uint32, schema, name string) []byte {
	return cstring(cstring(binary.BigEndian.AppendUint32([]byte{'Y'}, oid), schema), name)
}

// Value is one column's value in a tuple: a string is its text, nil is null, Unchanged was not sent.
type Value any

// Unchanged is the value of a column stored out of line that an UPDATE left alone.
var Unchanged = struct{ unchanged bool }{true}

// Insert encodes an INSERT message.
func Insert(oid uint32, row ...Value) []byte {
	return tuple(append(binary.BigEndian.AppendUint32([]byte{'I'}, oid), 'N'), row)
}

// Update encodes an UPDATE message; old is nil, or preceded by its kind 'K' or 'O'.
func Update(oid uint32, kind byte, old, row []Value) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'U'}, oid)
	if old != nil {
		b = tuple(append(b, kind), old)
	}
	return tuple(append(b, 'N'), row)
}

// Delete encodes a DELETE message; kind is 'K' or 'O'.
func Delete(oid uint32, kind byte, old ...Value) []byte {
	return tuple(append(binary.BigEndian.AppendUint32([]byte{'D'}, oid), kind), old)
}

// Truncate encodes a TRUNCATE message.
func Truncate(oids ...uint32) []byte {
	b := append(binary.BigEndian.AppendUint32([]byte{'T'}, uint32(len(oids))), 0)
	for _, oid := range oids {
		b = binary.BigEndian.AppendUint32(b, oid)
	}
	return b
}

// Origin encodes an ORIGIN message.
func Origin(lsn decoder.LSN, name string) []byte {
	return cstring(binary.BigEndian.AppendUint64([]byte{'O'}, uint64(lsn)), name)
}

// Message encodes a MESSAGE message, what pg_logical_emit_message writes. One that is not transactional comes outside of
// every transaction.
func Message(transactional bool, lsn decoder.LSN, prefix, content string) []byte {
	flags := byte(0)
	if transactional {
		flags = 1
	}
	b := cstring(binary.BigEndian.AppendUint64([]byte{'M', flags}, uint64(lsn)), prefix)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(content))), content...)
}

func tuple(b []byte, row []Value) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
	for _, v := range row {
		switch v := v.(type) {
		case nil:
			b = append(b, 'n')
		case string:
			b = append(binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(v))), v...)
		default:
			b = append(b, 'u')
		}
	}
	return b
}

func cstring(b []byte, s string) []byte { return append(append(b, s...), 0) }

// micros is PostgreSQL's time: microseconds since 2000-01-01.
func micros(t time.Time) uint64 {
	return uint64(t.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Microseconds())
}
