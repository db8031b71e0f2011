package setup

import (
	"fmt"
	"strings"
)

// operations are what a publication can publish, as its option has them.
const (
	allOperations     = "insert, update, delete, truncate"
	withoutOldRowKeys = "insert, truncate"
)

func (p planner) publication() []step {
	if p.catalog.Publication != nil {
		return p.mendPublication()
	}
	s := step{
		what: "publication " + p.catalog.Names.Publication,
		why:  "What the server sends of the table. It must be there before the slot, which cannot use a younger publication.",
	}
	publish := allOperations
	if len(p.withoutIdentity()) > 0 {
		publish = withoutOldRowKeys
	}
	options := "publish = '" + publish + "'"
	if p.catalog.Table.Kind == "p" {
		options += ", publish_via_partition_root = true"
	}
	if p.wantsGenerated() {
		options += ", publish_generated_columns = stored"
	}
	s.state = fmt.Sprintf("created for %s (%s)", p.catalog.Names.Table, publish)
	s.sql = fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s\n    WITH (%s)", p.catalog.Names.Publication, p.catalog.Names.Table, options)
	s.notes = p.operationNotes(publish == allOperations)
	if !p.catalog.Admin.Create {
		s.lacks = append(s.lacks, "CREATE on database "+p.catalog.Names.Database)
	}
	s.lacks = append(s.lacks, p.tableRight()...)
	return []step{s}
}

// mendPublication changes what is not right with a publication that there is. Its options come first: a table without
// replica identity must not be in a publication that has updates, not even for a moment.
func (p planner) mendPublication() []step {
	have, name := p.catalog.Publication, p.catalog.Names.Publication
	what := "publication " + name
	var steps []step
	mend := func(s step) {
		s.what, s.sql = what, fmt.Sprintf(s.sql, name)
		if !have.Owned {
			s.lacks = append(s.lacks, "ownership of publication "+name)
		}
		if p.catalog.Slot != nil {
			s.notes = append(s.notes, "Rows committed before this statement are sent, or not, as the publication was then.")
		}
		steps = append(steps, s)
	}
	updates, deletes := p.publishable()
	if options := p.options(updates, deletes); len(options) > 0 {
		mend(step{
			why:   "Publication " + name + " is there already, but sends too little, too much, or in the wrong way.",
			sql:   "ALTER PUBLICATION %s SET (" + strings.Join(options, ", ") + ")",
			state: "changed (" + strings.Join(options, ", ") + ")",
			notes: p.operationNotes(updates && deletes),
		})
	}
	switch {
	case have.partial():
		mend(step{
			why: "Publication " + name + " leaves out rows or columns of the table. One transaction takes the table out and puts it " +
				"back whole, so that no row slips through in between.",
			sql: "BEGIN;\nALTER PUBLICATION %[1]s DROP TABLE " + p.catalog.Names.Table +
				";\nALTER PUBLICATION %[1]s ADD TABLE " + p.catalog.Names.Table + ";\nCOMMIT",
			state: "holds all rows and columns of " + p.catalog.Names.Table,
			lacks: p.tableRight(),
		})
	case !have.Published && have.Member == nil && !have.AllTables:
		mend(step{
			why:   "Publication " + name + " is there already, but does not hold the table.",
			sql:   "ALTER PUBLICATION %s ADD TABLE " + p.catalog.Names.Table,
			state: "holds " + p.catalog.Names.Table,
			lacks: p.tableRight(),
		})
	}
	if len(steps) == 0 {
		steps = []step{{
			what: what, state: fmt.Sprintf("exists and holds %s (%s)", p.catalog.Names.Table, strings.Join(have.operations(), ", ")),
			notes: p.operationNotes(have.Update && have.Delete),
		}}
	}
	if have.shared() {
		last := &steps[len(steps)-1]
		last.notes = append(last.notes, "The publication is not this table's alone: changes of its other tables are sent "+
			"and passed over.")
	}
	return steps
}

// publishable says whether the publication should have updates and deletes. One that it shares with other tables gets
// none that it did not have: those tables may have no replica identity.
func (p planner) publishable() (updates, deletes bool) {
	if len(p.withoutIdentity()) > 0 {
		return false, false
	}
	have := p.catalog.Publication
	if have.shared() {
		return have.Update, have.Delete
	}
	return true, true
}

// options are the options of the publication that must be changed, if any.
func (p planner) options(updates, deletes bool) []string {
	have := p.catalog.Publication
	var options []string
	if !have.Insert || !have.Truncate || have.Update != updates || have.Delete != deletes {
		publish := []string{"insert"}
		if updates {
			publish = append(publish, "update")
		}
		if deletes {
			publish = append(publish, "delete")
		}
		options = append(options, "publish = '"+strings.Join(append(publish, "truncate"), ", ")+"'")
	}
	if p.catalog.Table.Kind == "p" && !have.ViaRoot {
		options = append(options, "publish_via_partition_root = true")
	}
	if p.wantsGenerated() && have.Generated != "s" {
		options = append(options, "publish_generated_columns = stored")
	}
	return options
}

// operations lists what is published; it is not nil.
func (p *publication) operations() []string {
	list := []string{}
	for _, operation := range []struct {
		name string
		is   bool
	}{{"insert", p.Insert}, {"update", p.Update}, {"delete", p.Delete}, {"truncate", p.Truncate}} {
		if operation.is {
			list = append(list, operation.name)
		}
	}
	return list
}

// wantsGenerated says whether generated columns must be asked for, as they can be from PostgreSQL 18 on. Without them a
// row is sent incomplete, and an UPDATE of a table with REPLICA IDENTITY FULL fails.
func (p planner) wantsGenerated() bool { return p.server.major() >= 18 && p.catalog.Table.Stored }

// withoutIdentity names the relations for which an UPDATE or DELETE would fail if it were published.
func (p planner) withoutIdentity() []string {
	var names []string
	for _, r := range p.catalog.Table.Relations {
		if !r.Identity {
			names = append(names, r.Name)
		}
	}
	return names
}

func (p planner) operationNotes(all bool) []string {
	table, lacking := p.catalog.Names.Table, p.withoutIdentity()
	switch {
	case all:
		return []string{"UPDATE and DELETE of audit rows are published too, and arrive as tamper events. They need the replica identity " +
			"that " + table + " has: without it they would fail, so keep it."}
	case len(lacking) == 0:
		return []string{"UPDATE or DELETE of audit rows is not published, and not changed here because the publication has other " +
			"tables, which may have no replica identity: it is then not seen."}
	}
	const few = 3
	named := strings.Join(lacking[:min(few, len(lacking))], ", ")
	if more := len(lacking) - few; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	mend := "Give it a primary key and REPLICA IDENTITY DEFAULT, or REPLICA IDENTITY FULL"
	if p.catalog.Table.Kind == "p" {
		mend = "Give " + table + " a primary key, which partitions made later get too, and each partition REPLICA IDENTITY DEFAULT"
	}
	return []string{
		"UPDATE and DELETE of audit rows are not published, so they are not seen: they would fail, for lack of a usable replica " +
			"identity of " + named + ".",
		mend + " (a deferrable key is none), and run init again.",
	}
}

// tableRight is what the administrator lacks to publish the table.
func (p planner) tableRight() []string {
	if p.catalog.Table.Owned {
		return nil
	}
	return []string{"ownership of table " + p.catalog.Names.Table}
}
