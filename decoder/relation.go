package decoder

import (
	"cmp"
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// format is how a column's text becomes JSON.
type format uint8

const (
	formatString      format = iota // quoted and escaped: everything that has no other format
	formatNumber                    // as it is, quoted where it is no JSON number (NaN, Infinity)
	formatBool                      // t or f
	formatJSON                      // as it is
	formatTimestamp                 // quoted, with T between date and time
	formatTimestamptz               // the same, and +00 becomes +00:00
)

// formats by the OIDs of built-in types, which never change (pg_type.dat).
var formatByOID = map[uint32]format{
	16: formatBool,
	20: formatNumber, 21: formatNumber, 23: formatNumber, // int8, int2, int4
	700: formatNumber, 701: formatNumber, 1700: formatNumber, // float4, float8, numeric
	114: formatJSON, 3802: formatJSON,
	1114: formatTimestamp, 1184: formatTimestamptz,
}

// formatByName serves domains: their TYPE message names the base type, by name and not by OID.
var formatByName = map[string]format{
	"bool": formatBool,
	"int8": formatNumber, "int2": formatNumber, "int4": formatNumber,
	"float4": formatNumber, "float8": formatNumber, "numeric": formatNumber,
	"json": formatJSON, "jsonb": formatJSON,
	"timestamp": formatTimestamp, "timestamptz": formatTimestamptz,
}

// column is one column of a relation, with all that is the same for each of its rows worked out.
type column struct {
	name      []byte
	jsonKey   []byte // "name":
	digestKey []byte // the name after its length
	format    format
	identity  bool // part of the replica identity
	key       bool // part of the primary key
	naming    int  // 0, or 1 + its index in namingColumns
}

// namingColumns are the columns that name what an event can be chosen by.
var namingColumns = [...]string{namingTable: "table_name", namingSchema: "schema_name", namingUser: "user_name"}

const (
	namingTable = iota
	namingSchema
	namingUser
)

// named says where in the row's JSON the value of each of namingColumns lies, quotes included; {0, 0} where there is none. No
// row that PostgreSQL can send is too large for these offsets.
type named [len(namingColumns)]struct{ start, end uint32 }

// relation is what a RELATION message said, until the next one for the same OID.
type relation struct {
	name    string // qualified
	columns []column
	byName  []int // indexes of columns in the order of their names, for the digest
	// eventType and rowData are the indexes of the columns event_type and row_data (which is json or jsonb), or -1.
	eventType, rowData int
	// audit says whether this is the audit table or one of its partitions.
	audit bool
	// names is what the column names add to a line, in bytes.
	names int
	// head is the constant part of a line: `","kind":…,"op":…,"source":…,"table":…,"lsn":"` for each operation.
	head [NumOps][]byte
	// retentionHead is that of a DELETE which was announced.
	retentionHead []byte
}

// relation reads a RELATION message. It comes before the first change of a relation in a session and again after every
// ALTER of it. It returns the relation's OID if its changes are events.
func (d *Decoder) relation(r *reader) uint32 {
	oid := r.uint32("relation OID")
	schema := string(r.cstring("schema name"))
	table := string(r.cstring("relation name"))
	if schema == "" {
		schema = "pg_catalog" // which the protocol abbreviates to nothing
	}
	identity := r.uint8("replica identity")
	n := int(r.uint16("number of columns"))
	const leastColumn = 10 // a column takes ten bytes at least: no message makes us allocate for more than it can hold
	if r.err == nil && n > (len(r.data)-r.off)/leastColumn {
		r.fail("%d columns do not fit in the %d bytes left", n, len(r.data)-r.off)
	}
	if !utf8.ValidString(schema) || !utf8.ValidString(table) {
		r.fail("the relation's name is not UTF-8")
	}
	if r.err != nil {
		return 0
	}
	before := d.relations[oid]
	rel := &relation{
		name:      schema + "." + table,
		columns:   make([]column, n),
		byName:    make([]int, n),
		eventType: -1,
		rowData:   -1,
		audit: schema == d.cfg.Schema && table == d.cfg.Table || oid == d.cfg.RelationOID && oid != 0 ||
			slices.Contains(d.cfg.Former, oid) || before != nil && before.audit,
	}
	r.relation = rel.name
	for i := range rel.columns {
		flags := r.uint8("column flags")
		name := slices.Clone(r.cstring("column name"))
		typeOID := r.uint32("column type")
		r.uint32("column type modifier")
		if !utf8.Valid(name) {
			r.fail("the name of column %d is not UTF-8", i+1)
		}
		if r.err != nil {
			return 0
		}
		f, ok := formatByOID[typeOID]
		if !ok {
			f = d.types[typeOID]
		}
		c := column{name: name, format: f, identity: flags&1 != 0}
		c.jsonKey = append(appendString(nil, name), ':')
		c.digestKey = append(binary.BigEndian.AppendUint32(nil, uint32(len(name))), name...)
		rel.names += len(c.jsonKey) + len(",null")
		switch {
		case string(name) == "event_type":
			rel.eventType = i
		case string(name) == "row_data" && f == formatJSON:
			rel.rowData = i
		}
		if f == formatString {
			c.naming = 1 + slices.Index(namingColumns[:], string(name))
		}
		rel.columns[i], rel.byName[i] = c, i
	}
	r.end()
	rel.setKey(identity, d.cfg.Key)
	slices.SortFunc(rel.byName, func(a, b int) int {
		return cmp.Compare(string(rel.columns[a].name), string(rel.columns[b].name))
	})
	rel.head[OpInsert] = d.head(rel, KindAudit, OpInsert)
	for op := OpUpdate; op <= OpTruncate; op++ {
		rel.head[op] = d.head(rel, KindTamper, op)
	}
	rel.retentionHead = d.head(rel, KindRetention, OpDelete)
	if r.err != nil {
		return 0
	}
	d.relations[oid] = rel
	if !rel.audit {
		return 0
	}
	return oid
}

// head is the constant part of a line.
func (d *Decoder) head(rel *relation, kind Kind, op Op) []byte {
	head := append([]byte(`","kind":"`), kind.String()...)
	head = append(append(head, `","op":"`...), op.String()...)
	head = appendString(append(head, `","source":`...), []byte(d.cfg.Source))
	head = appendString(append(head, `,"table":`...), []byte(rel.name))
	return append(head, `,"lsn":"`...)
}

// incomplete says whether row, an event's of that kind, tells that a row was deleted, and not which.
func (rel *relation) incomplete(kind Kind, audited Op, row []value) bool {
	return kind == KindAudit && audited == OpDelete && rel.rowData >= 0 && row[rel.rowData].status == valueText &&
		saysNothing(row[rel.rowData].text)
}

// setKey marks the columns of the primary key. The flags name them under REPLICA IDENTITY DEFAULT, and are as old as the
// change itself: a backlog may have been written before a key column got the name that it has in configured. With any
// other identity they name what is sent of an old row, and for a deferrable key nothing.
func (rel *relation) setKey(identity byte, configured []string) {
	flagged := identity == 'd' && slices.ContainsFunc(rel.columns, func(c column) bool { return c.identity })
	for i := range rel.columns {
		c := &rel.columns[i]
		c.key = c.identity
		if !flagged {
			c.key = slices.Contains(configured, string(c.name))
		}
	}
}

// typ reads a TYPE message. It comes before the RELATION that uses the type and, for a domain, carries the domain's OID
// with the name of its base type.
func (d *Decoder) typ(r *reader) {
	oid := r.uint32("type OID")
	schema := r.cstring("schema name")
	name := r.cstring("type name")
	r.end()
	if r.err != nil {
		return
	}
	delete(d.types, oid)
	if f, ok := formatByName[string(name)]; ok && len(schema) == 0 {
		d.types[oid] = f
	}
}
