package pipeline

import (
	"slices"

	"pgwitness/decoder"
)

// Filter chooses which audit events a sink gets. Events of the other kinds, tampering and retention, pass every filter, and so
// does what cannot be told: a sink rather gets too much than too little. The zero Filter lets everything pass.
type Filter struct {
	// Tables are the audited tables of which events pass. Defaults to all, and to events that are not about a table.
	Tables []TableName
	// ExceptTables are audited tables of which no events pass. Defaults to none.
	ExceptTables []TableName
	// Operations are those on the audited table that pass. Defaults to all.
	Operations []decoder.Op
}

// TableName names an audited table.
type TableName struct {
	// Schema is empty where a table of that name counts in any schema.
	Schema, Name string
}

func (f *Filter) empty() bool {
	return len(f.Tables) == 0 && len(f.ExceptTables) == 0 && len(f.Operations) == 0
}

// Passes says whether the sink gets e.
func (f *Filter) Passes(e *decoder.Event) bool {
	if e.Kind() != decoder.KindAudit {
		return true
	}
	if len(f.Operations) > 0 && !slices.Contains(f.Operations, e.Audited()) {
		return false
	}
	if len(f.Tables) == 0 && len(f.ExceptTables) == 0 {
		return true
	}
	table, schema := string(e.AuditedTable()), e.AuditedSchema()
	if len(f.Tables) > 0 && !slices.ContainsFunc(f.Tables, func(t TableName) bool { return t.matches(table, schema, true) }) {
		return false
	}
	return !slices.ContainsFunc(f.ExceptTables, func(t TableName) bool { return t.matches(table, schema, false) })
}

// matches says whether t is what an event has as its table's name and schema; unknown, what counts where t has a schema and
// the event has none. There are triggers that write both names into one column.
func (t TableName) matches(table string, schema []byte, unknown bool) bool {
	switch {
	case t.Schema != "" && schema == nil && table == t.Schema+"."+t.Name:
		return true
	case table != t.Name:
		return false
	case t.Schema == "":
		return true
	case schema == nil:
		return unknown
	}
	return string(schema) == t.Schema
}

// choose returns those of events that pass, in chosen if some do not.
func (f *Filter) choose(events, chosen []decoder.Event) []decoder.Event {
	if f.empty() {
		return events
	}
	for i := range events {
		if f.Passes(&events[i]) {
			chosen = append(chosen, events[i])
		}
	}
	return chosen
}
