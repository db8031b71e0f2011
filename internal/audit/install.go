package audit

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
	"pgwitness/scripts"
)

//go:embed table.sql
var tableStateQuery string

// tableState is what there is of the audit table, and of those who write into it.
type tableState struct {
	Kind           string                 `json:"kind"` // relkind, "" without a table
	Persistence    string                 `json:"persistence"`
	Inherits       bool                   `json:"inherits"`
	Bytes          int64                  `json:"bytes"`
	Columns        map[string]auditColumn `json:"columns"`
	PartitionedBy  string                 `json:"partitioned_by"`
	Schema         bool                   `json:"schema"` // the table's is there
	Aside          bool                   `json:"aside"`  // what install put aside is there
	Ready          bool                   `json:"ready"`  // Mend's and Capture's tables are there
	Reachable      bool                   `json:"reachable"`
	Sealed         bool                   `json:"sealed"`
	Views          []string               `json:"views"`
	ForeignKeys    []string               `json:"foreign_keys"`
	Rules          []string               `json:"rules"`
	Triggers       []string               `json:"triggers"` // on the audit table, others' than ours
	Writers        []writer               `json:"writers"`  // the trigger functions to mend
	Unfit          []string               `json:"unfit"`    // triggers of theirs that capture's body does not suit
	Weak           []string               `json:"weak"`     // triggers of theirs that do not see everything
	Others         []string               `json:"others"`   // functions that seem to write into the table, too
	Captured       string                 `json:"captured"`
	CapturedTables []string               `json:"captured_tables"`
	TimeZone       string                 `json:"time_zone"`
	Zones          []string               `json:"zones"` // roles' and databases' own
	Months         int                    `json:"months"`
}

type writer struct {
	Name   string `json:"name"`
	Mended bool   `json:"mended"`
}

type auditColumn struct {
	Type      string `json:"type"`
	Filled    bool   `json:"filled"` // it may be left out
	Generated bool   `json:"generated"`
}

// firstColumns are the seed's columns with the types that the trigger functions can write into, the installed one first.
var firstColumns = []struct {
	name  string
	types []string
}{
	{"id", nil}, // never written
	{"event_type", []string{"text", "character varying"}},
	{"event_timestamp", []string{"timestamp with time zone", zoneless}},
	{"user_name", []string{"text", "character varying"}},
	{"table_name", []string{"text", "character varying"}},
	{"row_data", []string{"jsonb", "json"}},
}

// addedColumns are those that harden and install add.
var addedColumns = []struct{ name, typ string }{
	{"schema_name", "text"}, {"rel_oid", "oid"}, {"session_user_name", "text"}, {"tx_id", "bigint"},
	{"client_addr", "inet"}, {"application_name", "text"}, {"actor", "text"}, {"request_id", "text"},
}

func writers(functions []string) []string {
	if len(functions) == 0 {
		return []string{"custom_audit_trigger_function"}
	}
	return functions
}

// settings are the steps that tell the scripts which trigger functions to mend.
func settings(functions []string) []Step {
	if len(functions) == 0 {
		return nil
	}
	return []Step{{
		Why: "These trigger functions are mended",
		SQL: "SET LOCAL pgwitness.functions = " + quoteLiteral(strings.Join(functions, ",")) + ";",
	}}
}

func (d *Database) tableState(ctx context.Context, functions []string) (tableState, error) {
	var t tableState
	aside, err := d.render("public.custom_audit_log_old")
	if err != nil {
		return t, err
	}
	names, err := json.Marshal(writers(functions))
	if err != nil {
		return t, err
	}
	if err := d.conn.JSON(ctx, &t, tableStateQuery, []byte(d.table), names, []byte(aside)); err != nil {
		return t, err
	}
	if t.Captured != "" && t.Captured != d.table {
		return t, admin.Refuse(replication.ErrSetup, "the trigger functions of this database write into %s: name that table in source.table", t.Captured)
	}
	return t, nil
}

// aside is the name of what install puts aside.
func (d *Database) aside() string {
	name, _ := d.render("public.custom_audit_log_old") // it was rendered before
	return name
}

// check says what is in the way of trigger functions that write into the table as it is.
func (t tableState) check(d *Database) error {
	const ordinary, partitioned = "r", "p"
	switch {
	case t.Kind != ordinary && t.Kind != partitioned:
		return admin.Refuse(replication.ErrSetup, "%s is not a table: name the audit table in source.table", d.table)
	case t.Persistence != "p":
		return admin.Refuse(replication.ErrSetup, "%s is unlogged or temporary, so its rows never reach the WAL: ALTER TABLE %[1]s SET LOGGED", d.table)
	case t.Inherits:
		return admin.Refuse(replication.ErrSetup, "%s inherits or is inherited from, which replication does not see: ALTER TABLE … NO INHERIT", d.table)
	}
	for _, c := range firstColumns {
		there, ok := t.Columns[c.name]
		switch {
		case !ok:
			return admin.Refuse(replication.ErrSetup, "%s has no column %s: name the audit table in source.table", d.table, c.name)
		case there.Generated && c.types != nil:
			return admin.Refuse(replication.ErrSetup, "the column %s of %s is generated, so nothing can be written into it: drop or rename it", c.name, d.table)
		case c.types != nil && !slices.Contains(c.types, there.Type):
			return admin.Refuse(replication.ErrSetup, "the column %s of %s has the type %s, which the trigger functions cannot write: want %s",
				c.name, d.table, there.Type, strings.Join(c.types, " or "))
		}
	}
	for _, c := range addedColumns {
		if there, ok := t.Columns[c.name]; ok && (there.Type != c.typ || there.Generated) {
			return admin.Refuse(replication.ErrSetup, "%s has a column %s of its own, of the type %s, where the trigger functions write one of the type %s: "+
				"rename it", d.table, c.name, there.Type, c.typ)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Columns)) {
		if !t.Columns[name].Filled && !written(name) {
			return admin.Refuse(replication.ErrSetup, "the column %s of %s is NOT NULL and has no default, and the trigger functions leave it out: "+
				"give it one", name, d.table)
		}
	}
	return t.checkWriters(d)
}

// written says whether the trigger functions fill a column, with something that is never null.
func written(column string) bool {
	return slices.Contains([]string{"event_type", "event_timestamp", "user_name", "table_name", "row_data", "schema_name", "rel_oid",
		"session_user_name", "tx_id"}, column)
}

// checkWriters says which functions and triggers would fail once nobody but pgwitness_audit may write into the table.
func (t tableState) checkWriters(d *Database) error {
	if len(t.Unfit) > 0 {
		return admin.Refuse(replication.ErrSetup, "not AFTER … FOR EACH ROW, as a trigger that audits must be: %s; make it so first", strings.Join(t.Unfit, ", "))
	}
	if len(t.Others) > 0 {
		return admin.Refuse(replication.ErrSetup, "%s would fail, and with it what calls it, since nobody but pgwitness_audit is to write into %s: "+
			"give --function for each trigger function, and drop what nobody calls", strings.Join(t.Others, ", "), d.table)
	}
	return nil
}

// detached says what an undo takes off.
func (t tableState) detached() []string {
	if len(t.CapturedTables) == 0 {
		return nil
	}
	return []string{"What writes into the audit table by pgwitness's triggers stops; triggers that they had replaced come back: " +
		strings.Join(t.CapturedTables, ", ") + "."}
}

// installed says whether the table is one that install made.
func (t tableState) installed() bool {
	if t.PartitionedBy != "RANGE (event_timestamp)" {
		return false
	}
	for _, c := range firstColumns {
		if there, ok := t.Columns[c.name]; !ok || c.types != nil && there.Type != c.types[0] {
			return false
		}
	}
	for _, c := range addedColumns {
		if t.Columns[c.name].Type != c.typ {
			return false
		}
	}
	return true
}

// Install makes the script for a fresh, partitioned audit table. An unpartitioned one is put aside, with its rows, and
// those who wrote into it write into the new one: functions are their trigger functions, as in Harden. A replication.ErrSetup
// says what is in the way.
func (d *Database) Install(ctx context.Context, functions []string) (Script, error) {
	t, err := d.tableState(ctx, functions)
	if err != nil {
		return Script{}, err
	}
	script := Script{
		Title: fmt.Sprintf("pgwitness audit install: a partitioned, append-only %s, and what writes into it. It takes a superuser.", d.table),
		Next: "Next: `pgwitness audit attach TABLE…` lets tables be audited, `pgwitness init` sets the stream up, and " +
			"`pgwitness audit retention`, from a timer, makes the partitions to come.",
		Steps: settings(functions),
	}
	switch {
	case t.Kind == "" && !t.Schema:
		return Script{}, admin.Refuse(replication.ErrSetup, "the schema of %s does not exist: create it first", d.table)
	case t.Kind == "" && t.Aside:
		return Script{}, admin.Refuse(replication.ErrSetup, "there is no %s, but %s: rename that one first", d.table, d.aside())
	case t.Kind == "":
		script.Steps = nil // there are no writers
		return d.add(script, scripts.Capture, scripts.Install)
	case t.installed():
		return d.reinstall(ctx, t, script)
	case t.Kind != "r":
		return Script{}, admin.Refuse(replication.ErrSetup, "%s is there, and is no ordinary table that could be put aside: `pgwitness audit harden` mends "+
			"a partitioned table in place", d.table)
	}
	if err := t.checkReplaced(d); err != nil {
		return Script{}, err
	}
	script.Notes = append(script.Notes, fmt.Sprintf("%s (%s) becomes %s. Its rows stay in it, and in its publications; its numbers go on in the new table.",
		d.table, volume(t.Bytes), d.aside()))
	var own []string
	for _, name := range slices.Sorted(maps.Keys(t.Columns)) {
		if !written(name) && name != "id" && !slices.ContainsFunc(addedColumns, func(c struct{ name, typ string }) bool { return c.name == name }) {
			own = append(own, name)
		}
	}
	if len(own) > 0 {
		script.Notes = append(script.Notes, "The new table is without the columns "+strings.Join(own, ", ")+".")
	}
	return d.add(script, scripts.Capture, scripts.Mend, scripts.Install)
}

// checkReplaced says what would go on looking at the old table when another one has its name.
func (t tableState) checkReplaced(d *Database) error {
	if t.Aside {
		return admin.Refuse(replication.ErrSetup, "%s is there already, and is what %s would become: rename it", d.aside(), d.table)
	}
	if bound := slices.Concat(t.Views, t.ForeignKeys, t.Rules, t.Triggers); len(bound) > 0 {
		return admin.Refuse(replication.ErrSetup, "these are bound to %s and would stay with its old rows: %s; drop them, and make them anew for the "+
			"new table", d.table, strings.Join(bound, ", "))
	}
	if t.Inherits || t.Persistence != "p" {
		return t.check(d)
	}
	return t.checkWriters(d)
}

// reinstall puts right what of an installed table is not as it was.
func (d *Database) reinstall(ctx context.Context, t tableState, script Script) (Script, error) {
	script.Steps = nil
	capture, err := d.render(scripts.Capture)
	if err != nil {
		return Script{}, err
	}
	altered, err := d.altered(ctx, capture)
	if err != nil {
		return Script{}, err
	}
	mended := !slices.ContainsFunc(t.Writers, func(w writer) bool { return !w.Mended })
	if len(altered) > 0 {
		script.Notes = append(script.Notes, "Not as they were made: "+strings.Join(altered, ", ")+".")
	}
	if len(altered) > 0 || !t.Sealed || !mended || len(t.Weak) > 0 {
		script, err = d.add(script, scripts.Capture, scripts.Mend)
		if err != nil {
			return Script{}, err
		}
		seal, err := d.render("SELECT pg_temp.seal('install', 'public.custom_audit_log');")
		if err != nil {
			return Script{}, err
		}
		script.Steps = append(script.Steps,
			Step{Why: "Make the table append-only again, and leave nobody a right but to read", SQL: seal},
			Step{Why: "Put right the trigger functions that wrote into the old table", SQL: "SELECT pg_temp.mend('install');"})
	}
	if t.Months > 0 {
		script.Steps = append(script.Steps, Step{Why: "Make partitions ahead", SQL: "SELECT pgwitness.add_partitions(3);"})
	}
	return script, nil
}

// Uninstall makes the script that undoes Install. Rows stay.
func (d *Database) Uninstall(ctx context.Context) (Script, error) {
	t, err := d.tableState(ctx, nil)
	if err != nil {
		return Script{}, err
	}
	script := Script{
		Title: fmt.Sprintf("pgwitness audit install --undo: no row is lost. If it has rows, the installed %s stays, under another name where the "+
			"old table takes its place again.", d.table),
		Notes: t.detached(),
	}
	if !t.installed() {
		return script, nil
	}
	if _, err := d.kept(ctx, t, "install"); err != nil {
		return Script{}, err
	}
	if !t.Aside && len(t.CapturedTables) == 0 && t.Bytes > 0 {
		rows, err := d.conn.Text(ctx, "SELECT EXISTS (SELECT FROM "+d.table+")")
		if err != nil || rows == "t" {
			return script, err // nothing is left that could be taken off
		}
	}
	return d.add(script, scripts.Mend, scripts.Uninstall)
}

// parts are the scripts that nobody wants to follow step by step.
var parts = map[string]string{
	scripts.Capture: "The role pgwitness_audit, and in the schema pgwitness what it owns: the trigger functions, the guard, the registry",
	scripts.Mend:    "What the rest is done with: functions that end with this session",
}

// add adds the steps of embedded scripts.
func (d *Database) add(script Script, sources ...string) (Script, error) {
	for _, source := range sources {
		steps, err := d.steps(source)
		if err != nil {
			return Script{}, err
		}
		for i := range steps {
			steps[i].Part = parts[source]
		}
		script.Steps = append(script.Steps, steps...)
	}
	return script, nil
}
