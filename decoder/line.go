package decoder

import (
	"encoding/hex"
	"strconv"
	"time"
)

// change is one change of the audit table, as far as the protocol tells it.
type change struct {
	op  Op
	row []value // nil for a TRUNCATE
	old []value // nil where it was not sent
}

// emit renders one event into batch.
func (d *Decoder) emit(r *reader, batch *Batch, rel *relation, c change) {
	if r.err != nil {
		return
	}
	if batch == nil {
		d.seq++
		return
	}
	if len(d.between) == 0 {
		d.startLines()
	}
	const fixed = 256 // a digest, an LSN, three numbers, a time and what stands around them
	kind := d.kind(c.op, rel)
	head := rel.head[c.op]
	if kind == KindRetention {
		head = rel.retentionHead
	}
	need := len(r.data) + len(head) + rel.names + fixed
	if c.old != nil {
		need += rel.names
	}
	line := append(batch.tail(need), `{"id":"`...)
	line = d.appendID(line, rel, c)
	e := Event{
		Position:     Position{LSN: d.lsn, Seq: d.seq},
		Table:        rel.name,
		commitMicros: d.commitMicros,
		idEnd:        int32(len(line)),
		xid:          d.xid,
		kind:         kind,
		op:           c.op,
		audited:      OpOther,
	}
	if i := rel.eventType; i >= 0 && c.row != nil {
		e.audited = parseOp(c.row[i].text)
	}
	line = append(line, head...)
	line = append(line, d.between...)
	line = strconv.AppendUint(line, d.seq, 10)
	line = append(line, d.after...)
	e.rowStart = int32(len(line))
	line = appendRow(r, line, rel, c.row, &e.named)
	e.rowEnd = len(line)
	if c.old != nil {
		line = appendRow(r, append(line, `,"old":`...), rel, c.old, nil)
	}
	if line = appendUnchanged(line, rel, c.row); c.op == OpInsert && len(line) > e.rowEnd {
		r.fail("a column of an inserted row was not sent")
	}
	if r.err != nil {
		return
	}
	if e.incomplete = rel.incomplete(kind, e.audited, c.row); e.incomplete {
		line = append(line, `,"incomplete":true`...)
	}
	e.line = append(line, "}\n"...)
	batch.add(e)
	d.seq++
}

// startLines works out what all lines of the open transaction share.
func (d *Decoder) startLines() {
	d.between = append(d.lsn.Append(d.between), `","seq":`...)
	d.after = strconv.AppendUint(append(d.after[:0], `,"xid":`...), uint64(d.xid), 10)
	d.after = append(d.after, `,"commit_time":"`...)
	d.after = time.UnixMicro(d.commitMicros).UTC().AppendFormat(d.after, "2006-01-02T15:04:05.000000Z")
	d.after = append(d.after, `","row":`...)
}

// appendID appends the primary key's texts, joined by commas, and the first 8 bytes of the row's digest. The position
// follows where that would not tell the event from all others: without a primary key, and for tampering. A DELETE may
// carry the very row that its INSERT did, and a sink that keeps one event for each id would keep it from being noticed.
func (d *Decoder) appendID(line []byte, rel *relation, c change) []byte {
	start := len(line)
	keyed := false
	for i := range c.row {
		if !rel.columns[i].key {
			continue
		}
		if keyed = c.row[i].status == valueText; !keyed {
			line = line[:start] // a part of a key would look like a key
			break
		}
		line = append(appendEscaped(line, c.row[i].text), ',')
	}
	if keyed {
		line[len(line)-1] = '-' // in place of the last comma
	}
	const digestBytes = 8
	line = hex.AppendEncode(line, d.digest.of(rel, c.row)[:digestBytes])
	if !keyed || c.op != OpInsert {
		line = append(line, '-')
		line = append(d.lsn.Append(line), '/')
		line = strconv.AppendUint(line, d.seq, 10)
	}
	return line
}

// appendRow appends row as a JSON object of the columns that are known, in the table's order. It notes in named, which may be
// nil, where the columns lie that name something.
func appendRow(r *reader, line []byte, rel *relation, row []value, named *named) []byte {
	if row == nil {
		return append(line, "null"...)
	}
	begin := len(line)
	line = append(line, '{')
	first := true
	for i := range rel.columns {
		c := &rel.columns[i]
		if row[i].status != valueText && row[i].status != valueNull {
			continue
		}
		if !first {
			line = append(line, ',')
		}
		first = false
		line = append(line, c.jsonKey...)
		if row[i].status == valueNull {
			line = append(line, "null"...)
			continue
		}
		var ok bool
		start := len(line)
		if line, ok = appendJSON(line, row[i].text, c.format); !ok {
			r.off = row[i].off
			r.fail("the value of column %q is not valid for its type", c.name)
			return line
		}
		if c.naming > 0 && named != nil {
			at := &named[c.naming-1]
			at.start, at.end = uint32(start-begin), uint32(len(line)-begin)
		}
	}
	return append(line, '}')
}

// appendUnchanged appends the names of the columns that were not sent, if there are any.
func appendUnchanged(line []byte, rel *relation, row []value) []byte {
	sep := `,"unchanged":[`
	for i := range row {
		if row[i].status == valueUnchanged {
			line = appendString(append(line, sep...), rel.columns[i].name)
			sep = ","
		}
	}
	if sep == "," {
		line = append(line, ']')
	}
	return line
}

// parseOp reads what the trigger wrote of TG_OP.
func parseOp(text []byte) Op {
	const longest = len("TRUNCATE")
	if len(text) > longest {
		return OpOther
	}
	var lower [longest]byte
	for i, c := range text {
		lower[i] = c | 0x20
	}
	switch string(lower[:len(text)]) {
	case "insert":
		return OpInsert
	case "update":
		return OpUpdate
	case "delete":
		return OpDelete
	case "truncate":
		return OpTruncate
	}
	return OpOther
}
