package decoder

import (
	"encoding/json"
	"slices"
)

// RetentionPrefix is the prefix of the logical message by which whoever deletes expired audit rows announces it, earlier
// in the same transaction:
//
//	SELECT pg_logical_emit_message(true, 'pgwitness.retention', '{"table":"public.custom_audit_log"}')
//
// The table is named as events name it, its schema and its name without quotes.
const RetentionPrefix = "pgwitness.retention"

const (
	// largestAnnouncement bounds what is read as an announcement, in bytes.
	largestAnnouncement = 4 << 10
	// mostAnnounced bounds how many tables a transaction can announce: whoever may connect may emit any number of messages.
	mostAnnounced = 64
)

// message reads a logical message, of which any application may emit any. One that is no announcement says nothing to us.
func (d *Decoder) message(r *reader) {
	const transactional = 1
	flags := r.uint8("flags")
	r.uint64("LSN")
	prefix := r.cstring("prefix")
	content := r.sized("content")
	r.end()
	if r.err != nil || flags != transactional || !d.open || string(prefix) != RetentionPrefix ||
		len(content) > largestAnnouncement || len(d.announced) == mostAnnounced {
		return
	}
	var announcement struct {
		Table string `json:"table"`
	}
	if json.Unmarshal(content, &announcement) == nil && !slices.Contains(d.announced, announcement.Table) {
		d.announced = append(d.announced, announcement.Table)
	}
}

// kind says what a change of rel is: of those that undo evidence, only a DELETE that was announced is not tampering.
func (d *Decoder) kind(op Op, rel *relation) Kind {
	switch {
	case op == OpInsert:
		return KindAudit
	case op == OpDelete && slices.Contains(d.announced, rel.name):
		return KindRetention
	}
	return KindTamper
}
