package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Coverage is which tables of a database are audited, and which of those that should be are not.
type Coverage struct {
	// Table is the audit table's name, qualified and quoted.
	Table string `json:"table"`
	// Installed is whether the trigger functions are there. What install and harden make, attach needs.
	Installed bool `json:"installed"`
	// Functions are the trigger functions' faults: altered, missing, or owned by somebody else. None for sound ones.
	Functions []string `json:"functions"`
	// Unknown says what the connected role may not read, and how to let it. None when everything was seen.
	Unknown []string `json:"unknown"`
	// Tables come in the order of their names, with those that were attached and are gone.
	Tables []TableCoverage `json:"tables"`
}

// TableCoverage is one table. A partitioned table stands for its partitions.
type TableCoverage struct {
	// Table is the name, qualified and quoted.
	Table string `json:"table"`
	State State  `json:"state"`
	// Mode is "row" or "statement" for a table of pgwitness, otherwise "".
	Mode string `json:"mode,omitempty"`
	// Attached is whether the registry has the table.
	Attached bool `json:"attached"`
	// Partitions is how many partitions it has, whatever their level.
	Partitions int `json:"partitions,omitempty"`
	// Notes say what of the table is not as it was attached, or what else there is to know of it.
	Notes []string `json:"notes"`
}

// State says how far a table is audited.
type State string

const (
	// Audited is a table each change of which is written into the audit table.
	Audited State = "audited"
	// Broken is a table that was attached, or has pgwitness's triggers, and is not fully audited. Notes say why.
	Broken State = "broken"
	// Seed is a table that the seed's function audits, with its defects.
	Seed State = "seed"
	// Other is a table with a trigger whose function of somebody's own mentions the audit table.
	Other State = "other"
	// Unaudited is a table that nothing audits and that was not attached.
	Unaudited State = "unaudited"
)

// Incomplete are the tables that were attached and are not fully audited.
func (c Coverage) Incomplete() []TableCoverage {
	var broken []TableCoverage
	for _, table := range c.Tables {
		if table.State == Broken {
			broken = append(broken, table)
		}
	}
	return broken
}

// Coverage looks at every user table of the database. It takes no right but to read the catalog, and USAGE on the schema
// pgwitness with SELECT on its table attachment.
func (d *Database) Coverage(ctx context.Context) (Coverage, error) {
	c, err := d.catalog(ctx)
	if err != nil {
		return Coverage{}, err
	}
	found := Coverage{Table: d.table, Installed: c.installed(), Functions: []string{}, Unknown: []string{}, Tables: []TableCoverage{}}
	if c.HasRegistry && !c.MayRead {
		found.Unknown = append(found.Unknown, fmt.Sprintf("%s may not read which tables were attached, so that one whose triggers are gone looks "+
			"as if it had never been: GRANT USAGE ON SCHEMA pgwitness TO %[1]s; GRANT SELECT ON pgwitness.attachment TO %[1]s;", quoteIdent(c.User)))
	}
	if found.Installed {
		found.Functions = append(found.Functions, c.functionFaults()...)
	}
	for _, r := range c.Relations {
		if (r.Kind == "r" || r.Kind == "p") && !d.isAuditTable(c, r) {
			if table, ok := c.cover(r); ok {
				found.Tables = append(found.Tables, table)
			}
		}
	}
	for _, a := range c.Attachments {
		if c.relations[a.Relation] == nil {
			found.Tables = append(found.Tables, TableCoverage{
				Table: a.Name, State: Broken, Mode: a.Mode, Attached: true, Notes: []string{"it was dropped; `pgwitness audit detach` forgets it"},
			})
		}
	}
	slices.SortFunc(found.Tables, func(a, b TableCoverage) int { return strings.Compare(a.Table, b.Table) })
	return found, nil
}

// cover says how r is audited; not ok for a partition, which its table stands for, and for a table that an extension
// brought and nobody attached.
func (c *catalog) cover(r *relation) (table TableCoverage, ok bool) {
	table = TableCoverage{Table: r.Quoted, State: Unaudited, Partitions: len(r.partitions), Notes: []string{}}
	attached := c.attachment(r)
	var own, seed, other bool
	for _, t := range r.Triggers {
		switch {
		case c.captures(t):
			own = own || !t.Clone
		case c.isSeed(t):
			seed = true
		case c.procedures[t.Function].Schema != "pgwitness":
			other = true
			table.Notes = append(table.Notes, fmt.Sprintf("the function of its trigger %s mentions the audit table", t.Quoted))
		}
	}
	if r.Parent != nil && attached == nil && (!own || c.attachment(c.root(r)) != nil) || r.Extension && attached == nil && !own {
		return table, false
	}
	switch {
	case attached != nil:
		table.Mode, table.Attached = attached.Mode, true
		faults := c.attachedFaults(r, attached)
		table.State = Audited
		if len(faults) > 0 {
			table.State = Broken
		}
		table.Notes = append(faults, c.attachedNotes(r, attached)...)
	case own:
		table.State, table.Mode = Audited, "row"
		if r.trigger("pgwitness_insert") != nil {
			table.Mode = "statement"
		}
		faults := c.unseen(r)
		if len(faults) > 0 {
			table.State = Broken
		}
		if table.Notes = faults; c.MayRead {
			table.Notes = append(table.Notes, "it has triggers of pgwitness and was not attached, or was a partition of a table that is: attach it")
		}
	case seed:
		table.State = Seed
		for _, t := range r.Triggers {
			if t.Enabled == "D" && c.isSeed(t) {
				table.Notes = append(table.Notes, fmt.Sprintf("its trigger %s is disabled", t.Quoted))
			}
		}
	case other:
		table.State = Other
	}
	return table, true
}

// unseen says which changes of r no trigger that captures sees.
func (c *catalog) unseen(r *relation) []string {
	var faults []string
	for _, event := range []struct {
		bit  int
		name string
	}{{onInsert, "INSERT"}, {onUpdate, "UPDATE"}, {onDelete, "DELETE"}, {onTruncate, "TRUNCATE"}} {
		fault := "no trigger audits " + event.name
		for _, t := range r.Triggers {
			if !c.captures(t) || t.Type&event.bit == 0 {
				continue
			}
			trouble := c.triggerFault(t)
			if trouble == "" {
				fault = ""
				break
			}
			fault = trouble
		}
		if fault != "" && !slices.Contains(faults, fault) {
			faults = append(faults, fault)
		}
	}
	return faults
}

// triggerFault says why a trigger that captures may not, "" for nothing.
func (c *catalog) triggerFault(t trigger) string {
	switch {
	case t.Enabled == "D":
		return "its trigger " + t.Quoted + " is disabled"
	case t.Enabled == "R":
		return "its trigger " + t.Quoted + " fires for replication only"
	case t.Enabled != "A":
		return "its trigger " + t.Quoted + " is not ENABLE ALWAYS: session_replication_role = replica passes it by"
	case t.Narrowed:
		return "its trigger " + t.Quoted + " has a condition or a list of columns"
	}
	return c.fault(c.procedures[t.Function])
}

// attachedFaults says in what r is not audited as it was attached.
func (c *catalog) attachedFaults(r *relation, a *attachment) []string {
	faults := c.unseen(r)
	if a.Mode == "statement" && (r.Kind == "p" || r.Parent != nil || r.Inherits || r.Subscribed) {
		faults = append(faults, "statement mode does not see the rows of partitions, of tables that inherit, and of a subscription: attach it with --mode row")
	}
	for _, partition := range r.partitions {
		for _, fault := range c.unseen(partition) {
			if partition.Kind != "f" || !strings.HasSuffix(fault, "TRUNCATE") { // for which a foreign table cannot have a trigger
				faults = append(faults, "partition "+partition.Quoted+": "+fault)
			}
		}
	}
	for _, t := range r.Triggers {
		if c.procedures[t.Function].Schema != "pgwitness" || t.Type&onTruncate != 0 || !c.captures(t) {
			continue // harden's triggers have no arguments
		}
		if problem := a.differs(t.args()); problem != "" {
			faults = append(faults, "its trigger "+t.Quoted+" "+problem)
		}
		if c.procedures[t.Function].Name == "capture_plain" && !r.plain() {
			faults = append(faults, "a column came whose text depends on the session's settings: attach it again")
		}
	}
	if slices.Sort(a.Key); !slices.Equal(a.Key, slices.Sorted(slices.Values(r.Key))) {
		faults = append(faults, fmt.Sprintf("its primary key was %s and is %s now: attach it again", columnList(a.Key), columnList(r.Key)))
	}
	for _, name := range without(slices.Concat(a.Options.Exclude, a.Options.Mask), r.columnNames()) {
		faults = append(faults, fmt.Sprintf("its column %s, which must not be seen, was dropped or renamed: columns that came since are left "+
			"out until it is attached again", quoteIdent(name)))
	}
	return faults
}

// differs says in what a trigger's arguments are others than was registered, "" for nothing.
func (a *attachment) differs(args []string) string {
	var given options
	key := arrayLiteral(a.Key)
	if len(args) > 0 {
		key = args[0]
	}
	if len(args) > 1 {
		if err := json.Unmarshal([]byte(args[1]), &given); err != nil {
			return "has options that cannot be read"
		}
	}
	given.Virtual = nil
	if given.json() != a.Options.json() {
		return "has other options than were registered: attach it again"
	}
	if key != arrayLiteral(a.Key) && (len(a.Key) != 1 || key != a.Key[0]) {
		return "has another key than was registered: attach it again"
	}
	return ""
}

// attachedNotes says what attaching r again would do better, though nothing is missed.
func (c *catalog) attachedNotes(r *relation, a *attachment) []string {
	var notes []string
	for _, w := range wantedTriggers(r, a.Mode, a.Options) {
		if t := r.trigger(w.name); t != nil && !c.matches(*t, w) && a.differs(t.args()) == "" && slices.Equal(a.Key, r.Key) {
			notes = append(notes, fmt.Sprintf("its columns are such that %s should have other arguments: attach it again", t.Quoted))
		}
	}
	if added := without(r.columnNames(), a.Columns); len(added) > 0 && len(notes) == 0 {
		notes = append(notes, "since it was attached it got "+columnList(added)+": attach it again if that must not be seen")
	}
	return notes
}

func columnList(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quoteIdent(name)
	}
	return strings.Join(quoted, ", ")
}
