package feed

import (
	"fmt"
	"slices"
	"strings"

	"pgwitness/decoder"
)

// Filter chooses events: those that have one of the words for each of its fields that has any.
type Filter struct {
	// Tables are names of audited tables as the rows have them: "orders", or "shop.orders" where they have the schema too.
	Tables []string
	// Operations are those on the audited table, and of tampering and retention those on the audit table itself: Operations.
	Operations []string
	// Users are those that made the changes, as the rows have them.
	Users []string
	// Kinds are Kinds.
	Kinds []string
}

// Operations and Kinds are all words that a Filter may have for them.
var (
	Operations = []string{"insert", "update", "delete", "truncate", "other"}
	Kinds      = []string{"audit", "tamper", "retention"}
)

// Check says which word can match nothing.
func (f *Filter) Check() error {
	for _, field := range []struct {
		name         string
		words, known []string
	}{{"operation", f.Operations, Operations}, {"kind", f.Kinds, Kinds}} {
		for _, word := range field.words {
			if !slices.Contains(field.known, word) {
				return fmt.Errorf("%s: %q: want one of %s", field.name, word, strings.Join(field.known, ", "))
			}
		}
	}
	return nil
}

// Match says whether e is one to choose.
func (f *Filter) Match(e *decoder.Event) bool {
	op := e.Audited()
	if e.Kind() != decoder.KindAudit {
		op = e.Op()
	}
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, e.Kind().String())) &&
		(len(f.Operations) == 0 || slices.Contains(f.Operations, op.String())) &&
		(len(f.Users) == 0 || slices.Contains(f.Users, string(e.User()))) &&
		(len(f.Tables) == 0 || slices.ContainsFunc(f.Tables, func(name string) bool { return isTable(e, name) }))
}

func isTable(e *decoder.Event, name string) bool {
	table, schema := e.AuditedTable(), e.AuditedSchema()
	return table != nil && (string(table) == name || schema != nil && string(schema)+"."+string(table) == name)
}
