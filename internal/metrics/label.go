package metrics

import "pgwitness/decoder"

// others is the value of a label for all that have no series of their own. What is called so itself is counted with them.
const others = "other"

// longestValue bounds a label's value: two names of PostgreSQL's and the dot between them. What is longer is no name.
const longestValue = 127

// firstCome are the values of a label that come from the audit rows. Whoever writes those would decide how many series there
// are, so the first values have series of their own, up to a limit, and all that come later share one.
type firstCome struct {
	limit int
	seen  map[string]string
}

func newFirstCome(limit int) *firstCome {
	return &firstCome{limit: limit, seen: make(map[string]string, limit)}
}

// label returns the value to count by, without an allocation for one that is known.
func (f *firstCome) label(value []byte) string {
	if known, ok := f.seen[string(value)]; ok {
		return known
	}
	if len(value) == 0 || len(value) > longestValue || len(f.seen) == f.limit {
		return others
	}
	name := string(value)
	f.seen[name] = name
	return name
}

// appendTable appends the name of the table that e is about, with its schema where the row has it.
func appendTable(dst []byte, e *decoder.Event) []byte {
	if schema := e.AuditedSchema(); len(schema) > 0 {
		dst = append(append(dst, schema...), '.')
	}
	return append(dst, e.AuditedTable()...)
}
