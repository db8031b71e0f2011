package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"pgwitness/internal/admin"
	"pgwitness/internal/config"
	"pgwitness/internal/replication"
)

// Attach says how tables are to be audited. What it leaves open stays as it is for a table that is attached already, and is
// the default for another one.
type Attach struct {
	// Tables are tables by name.
	Tables []config.Table
	// Schemas are schemas of which every table is attached that can be; the script's notes name the others.
	Schemas []string
	// Mode is "row" or "statement". Defaults to row.
	Mode string
	// Exclude are columns that appear in no audit row, Mask those of which only an HMAC does. Spelled as in the catalog;
	// every table named must have them, and one at least of a schema's. Nil leaves them as they are, empty takes them back.
	Exclude, Mask []string
	// Images is "both", or "changed" for those columns of an UPDATE that changed. Defaults to both.
	Images string
	// Fail is "closed" if a row that cannot be audited is refused, and "open" if it leaves a row that says so. Defaults to
	// closed.
	Fail string
	// MaxValue is the size in bytes beyond which a value is left out, and its size told. Defaults to 1 MiB.
	MaxValue int64
}

// wanted is a trigger as attach makes it.
type wanted struct {
	name     string
	events   string
	kind     int // tgtype
	function string
	args     []string
	oldTable string
	newTable string
}

// The bits of tgtype.
const (
	forEachRow = 1 << iota
	_
	onInsert
	onDelete
	onUpdate
	onTruncate
)

// ownTriggers are the names of the triggers that attach makes.
var ownTriggers = []string{"pgwitness_row", "pgwitness_insert", "pgwitness_update", "pgwitness_delete", "pgwitness_truncate"}

// truncateTrigger needs no argument: a TRUNCATE has no images.
var truncateTrigger = wanted{name: "pgwitness_truncate", events: "TRUNCATE", kind: onTruncate, function: "capture"}

// wantedTriggers are the triggers that r should have itself, in this mode and with these options.
func wantedTriggers(r *relation, mode string, o options) []wanted {
	for _, c := range r.Columns {
		if c.Virtual {
			o.Virtual = append(o.Virtual, c.Name)
		}
	}
	args := []string{arrayLiteral(r.Key), o.json()}
	if mode == "statement" {
		if o.json() == "{}" {
			args = args[:1]
		}
		return []wanted{
			{"pgwitness_insert", "INSERT", onInsert, "capture_statement", args, "", "new_rows"},
			{"pgwitness_update", "UPDATE", onUpdate, "capture_statement", args, "old_rows", "new_rows"},
			{"pgwitness_delete", "DELETE", onDelete, "capture_statement", args, "old_rows", ""},
			truncateTrigger,
		}
	}
	if len(r.Key) == 1 && o.json() == "{}" && !slices.ContainsFunc(r.Columns, func(c column) bool { return !c.Renders }) {
		args = shortWay(r) // which has nothing to decide
	}
	function := "capture"
	if r.plain() {
		function = "capture_plain"
	}
	row := wanted{"pgwitness_row", "INSERT OR UPDATE OR DELETE", forEachRow | onInsert | onDelete | onUpdate, function, args, "", ""}
	return []wanted{row, truncateTrigger}
}

// shortWay are the arguments for a table of which capture need not look at the options, nor whether values can be rendered.
// Most of them have the key id, which capture can name.
func shortWay(r *relation) []string {
	if r.Key[0] != "id" {
		return r.Key
	}
	args := []string{"id", "{}", "id"}
	if slices.Contains(r.columnNames(), "column_name") {
		args = append(args, "column_name")
	}
	return args
}

// Attach makes the script that puts the triggers on. It fails with a replication.ErrSetup if the functions are not
// installed, or are not this version's, and with a replication.ErrConfig for a table that cannot be attached in this way.
func (d *Database) Attach(ctx context.Context, a Attach) (Script, error) {
	c, err := d.catalog(ctx)
	if err != nil {
		return Script{}, err
	}
	if err := d.requireInstalled(c); err != nil {
		return Script{}, err
	}
	if faults := c.functionFaults(); len(faults) > 0 { // another version's may take other arguments
		return Script{}, admin.Refuse(replication.ErrSetup, "%s: run `pgwitness audit harden` or `pgwitness audit install` again, whichever was "+
			"run before, first", strings.Join(faults, "; "))
	}
	script := Script{Title: "Attach tables, so that what changes in them is written into " + d.table + "."}
	tables, err := d.named(c, a.Tables)
	if err != nil {
		return Script{}, err
	}
	for _, r := range tables {
		if err := d.checkAttach(c, r, a, true); err != nil {
			return Script{}, admin.Refuse(replication.ErrConfig, "%s cannot be attached: %w", r.Quoted, err)
		}
	}
	schemas, err := d.attachable(c, a, &script)
	if err != nil {
		return Script{}, err
	}
	for _, r := range schemas {
		if !slices.Contains(tables, r) {
			tables = append(tables, r)
		}
	}
	for _, r := range tables {
		if step, needed := d.attachStep(c, r, a); needed {
			script.Steps = append(script.Steps, step)
		}
	}
	return script, nil
}

// named finds tables by name.
func (d *Database) named(c *catalog, names []config.Table) ([]*relation, error) {
	var found []*relation
	for _, name := range names {
		if name.Schema == "information_schema" || strings.HasPrefix(name.Schema, "pg_") {
			return nil, admin.Refuse(replication.ErrConfig, "%s is the server's own: such tables cannot have triggers, or are gone with the session", name)
		}
		i := slices.IndexFunc(c.Relations, func(r *relation) bool { return r.Schema == name.Schema && r.Name == name.Name })
		if i < 0 {
			return nil, admin.Refuse(replication.ErrConfig, "there is no table %s%s", name, c.didYouMean(name))
		}
		if !slices.Contains(found, c.Relations[i]) {
			found = append(found, c.Relations[i])
		}
	}
	return found, nil
}

func (c *catalog) didYouMean(name config.Table) string {
	var names []string
	for _, r := range c.Relations {
		names = append(names, config.Table{Schema: r.Schema, Name: r.Name}.String())
	}
	if len(names) == 0 {
		return " in this database"
	}
	return ": did you mean " + config.Nearest(name.String(), names) + "?"
}

// attachable are the tables of a's schemas that can be attached. It notes in script which are left out and why.
func (d *Database) attachable(c *catalog, a Attach, script *Script) ([]*relation, error) {
	var tables []*relation
	for _, schema := range a.Schemas {
		if !slices.Contains(c.Schemas, schema) {
			return nil, admin.Refuse(replication.ErrConfig, "there is no schema %s: did you mean %s?", quoteIdent(schema), config.Nearest(schema, c.Schemas))
		}
		for _, r := range c.Relations {
			if r.Schema != schema || r.Kind == "v" || r.Kind == "m" || r.Parent != nil && c.root(r).Schema == schema {
				continue // a partition comes with its table
			}
			err := d.checkAttach(c, r, a, false)
			if err == nil && r.Extension {
				err = fmt.Errorf("it belongs to an extension")
			}
			if err != nil {
				script.Notes = append(script.Notes, fmt.Sprintf("%s is left out: %v.", r.Quoted, err))
				continue
			}
			tables = append(tables, r)
		}
	}
	for _, name := range slices.Concat(a.Exclude, a.Mask) {
		if len(a.Schemas) > 0 && !slices.ContainsFunc(tables, func(r *relation) bool { return slices.Contains(r.columnNames(), name) }) {
			return nil, admin.Refuse(replication.ErrConfig, "no table of %s has a column %s", strings.Join(a.Schemas, ", "), quoteIdent(name))
		}
	}
	return tables, nil
}

// checkAttach says why r cannot be attached as a has it. strict is for a table that was named, which must have the columns
// of a.
func (d *Database) checkAttach(c *catalog, r *relation, a Attach, strict bool) error {
	switch {
	case d.isAuditTable(c, r):
		return fmt.Errorf("it holds the audit rows themselves; UPDATE, DELETE and TRUNCATE of it are refused, and told by pgwitness run")
	case r.Kind == "v", r.Kind == "m":
		return fmt.Errorf("it is a view: attach the tables that it reads")
	case r.Kind == "f":
		return fmt.Errorf("it is a foreign table, which others can change where it is")
	}
	if root := c.root(r); root != r && c.attachment(root) != nil {
		return fmt.Errorf("it is a partition of %s, which is attached and audits it too", root.Quoted)
	}
	mode, o := c.intended(r, a)
	if mode == "statement" {
		switch {
		case r.Kind == "p" || r.Parent != nil:
			return fmt.Errorf("statement mode does not see the rows of partitions: use --mode row")
		case r.Inherits:
			return fmt.Errorf("statement mode does not see the rows of tables that inherit: use --mode row")
		case r.Subscribed:
			return fmt.Errorf("statement mode does not see what a subscription writes into it: use --mode row")
		}
	}
	if strict {
		for _, name := range slices.Concat(a.Exclude, a.Mask) {
			if names := r.columnNames(); !slices.Contains(names, name) {
				return fmt.Errorf("it has no column %s: did you mean %s?", quoteIdent(name), quoteIdent(config.Nearest(name, names)))
			}
		}
	}
	if registered := c.attachment(r); registered != nil {
		for _, list := range []struct {
			flag  string
			given []string
			names []string
		}{{"--exclude", a.Exclude, registered.Options.Exclude}, {"--mask", a.Mask, registered.Options.Mask}} {
			if gone := without(list.names, r.columnNames()); list.given == nil && len(gone) > 0 {
				return fmt.Errorf("its column %s, which must not be seen, was dropped or renamed: say with %s which columns that is about now",
					quoteIdent(gone[0]), list.flag)
			}
		}
	}
	for _, name := range o.Exclude {
		if slices.Contains(r.Key, name) {
			return fmt.Errorf("%s is of its primary key, without which an audit row does not say which row it is about: mask it instead", quoteIdent(name))
		}
		if slices.Contains(o.Mask, name) {
			return fmt.Errorf("%s cannot be both excluded and masked", quoteIdent(name))
		}
	}
	return nil
}

// intended are r's mode and options when a is done.
func (c *catalog) intended(r *relation, a Attach) (mode string, o options) {
	mode = "row"
	if registered := c.attachment(r); registered != nil {
		mode, o = registered.Mode, registered.Options
	}
	if a.Mode != "" {
		mode = a.Mode
	}
	o = o.with(a)
	o.Exclude = without(o.Exclude, without(o.Exclude, r.columnNames())) // a schema's tables need not all have them
	o.Mask = without(o.Mask, without(o.Mask, r.columnNames()))
	return mode, o
}

// attachStep is what attaches r, or puts right how it is.
func (d *Database) attachStep(c *catalog, r *relation, a Attach) (step Step, needed bool) {
	mode, o := c.intended(r, a)
	var sql strings.Builder
	var remarks []string
	// Triggers that would write a change a second time.
	replaced := false
	for _, table := range slices.Concat([]*relation{r}, r.partitions) {
		for _, t := range table.Triggers {
			other := slices.Contains(ownTriggers, t.Name) && !keeps(table == r, mode, t.Name)
			if !t.Clone && (other || c.isSeed(t)) {
				if c.isSeed(t) {
					sql.WriteString(keepTrigger(table, t))
				}
				fmt.Fprintf(&sql, "DROP TRIGGER %s ON %s;\n", t.Quoted, table.Quoted)
				replaced = replaced || c.isSeed(t)
			} else if p := c.procedures[t.Function]; p.Schema != "pgwitness" && !c.isSeed(t) {
				remarks = append(remarks, fmt.Sprintf("the trigger %s, whose function %s.%s mentions the audit table too, stays", t.Quoted, p.Schema, p.Name))
			}
		}
		if table != r && c.attachment(table) != nil {
			fmt.Fprintf(&sql, "DELETE FROM pgwitness.attachment WHERE relation = %s::regclass;\n", quoteLiteral(table.Quoted))
		}
	}
	if replaced {
		remarks = append(remarks, "it takes the place of the trigger that was there, so that nothing is written twice")
	}
	for _, w := range wantedTriggers(r, mode, o) {
		c.putRight(&sql, r, w)
	}
	for _, partition := range r.partitions {
		if t := partition.trigger("pgwitness_row"); t != nil && t.Clone && t.Enabled != "A" {
			fmt.Fprintf(&sql, "ALTER TABLE %s ENABLE ALWAYS TRIGGER pgwitness_row;\n", partition.Quoted)
		}
		if partition.Kind != "f" { // which cannot have one
			c.putRight(&sql, partition, truncateTrigger)
		}
	}
	if registered := c.attachment(r); sql.Len() > 0 || registered == nil || !registered.is(r, mode, o) {
		fmt.Fprintf(&sql, `INSERT INTO pgwitness.attachment (relation, relation_name, mode, key, options, columns)
VALUES (%s, %[1]s, '%s', %s, %s, %s)
ON CONFLICT (relation) DO UPDATE SET relation_name = excluded.relation_name, mode = excluded.mode, key = excluded.key,
    options = excluded.options, columns = excluded.columns, attached_at = excluded.attached_at, attached_by = excluded.attached_by;
`, quoteLiteral(r.Quoted), mode, quoteLiteral(arrayLiteral(r.Key)), quoteLiteral(o.json()), quoteLiteral(arrayLiteral(r.columnNames())))
	}
	why := fmt.Sprintf("Audit %s, for each %s", r.Quoted, mode)
	if len(r.Key) > 0 {
		why += ", with the key " + columnList(r.Key)
	} else {
		why += ", without a key"
	}
	if o.json() != "{}" {
		why += ", " + o.String()
	}
	return Step{Why: strings.Join(append([]string{why}, remarks...), "; "), SQL: sql.String()}, sql.Len() > 0
}

// keepTrigger is what lets harden --undo and install --undo bring a trigger back. The search_path makes names be kept in full.
func keepTrigger(r *relation, t trigger) string {
	enable := map[string]string{"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}[t.Enabled]
	return fmt.Sprintf(`SET LOCAL search_path = pg_catalog, pg_temp;
INSERT INTO pgwitness.undo (command, relation, what, sql)
SELECT 'attach', tgrelid, %s, pg_get_triggerdef(oid) || %s FROM pg_trigger
WHERE tgrelid = %s::regclass AND tgname = %s ON CONFLICT DO NOTHING;
`, quoteLiteral("replaced trigger "+t.Quoted+" on "+r.Quoted), quoteLiteral(fmt.Sprintf("; ALTER TABLE %s %s TRIGGER %s", r.Quoted, enable, t.Quoted)),
		quoteLiteral(r.Quoted), quoteLiteral(t.Name))
}

// keeps says whether an attached table, or a partition of one, has a trigger of that name of its own.
func keeps(attached bool, mode, name string) bool {
	switch name {
	case "pgwitness_truncate":
		return true
	case "pgwitness_row":
		return attached && mode == "row"
	}
	return attached && mode == "statement"
}

// putRight writes what makes w of r's trigger of that name.
func (c *catalog) putRight(sql *strings.Builder, r *relation, w wanted) {
	t := r.trigger(w.name)
	if t == nil || t.Clone || !c.matches(*t, w) {
		level := "STATEMENT"
		if w.kind&forEachRow != 0 {
			level = "ROW"
		}
		var tables []string
		if w.oldTable != "" {
			tables = append(tables, "OLD TABLE AS "+w.oldTable)
		}
		if w.newTable != "" {
			tables = append(tables, "NEW TABLE AS "+w.newTable)
		}
		referencing := ""
		if len(tables) > 0 {
			referencing = " REFERENCING " + strings.Join(tables, " ")
		}
		args := make([]string, len(w.args))
		for i, arg := range w.args {
			args[i] = quoteLiteral(arg)
		}
		fmt.Fprintf(sql, "CREATE OR REPLACE TRIGGER %s AFTER %s ON %s%s\n    FOR EACH %s EXECUTE FUNCTION pgwitness.%s(%s);\n",
			w.name, w.events, r.Quoted, referencing, level, w.function, strings.Join(args, ", "))
	} else if t.Enabled == "A" {
		return
	}
	fmt.Fprintf(sql, "ALTER TABLE %s ENABLE ALWAYS TRIGGER %s;\n", r.Quoted, w.name)
}

// matches says whether t is w, enabled or not.
func (c *catalog) matches(t trigger, w wanted) bool {
	p := c.procedures[t.Function]
	return p.Schema == "pgwitness" && p.Name == w.function && t.Type == w.kind && !t.Narrowed &&
		t.OldTable == w.oldTable && t.NewTable == w.newTable && slices.Equal(t.args(), w.args)
}

// is says whether the registry has r so already.
func (a *attachment) is(r *relation, mode string, o options) bool {
	return a.Name == r.Quoted && a.Mode == mode && slices.Equal(a.Key, r.Key) && a.Options.json() == o.json() && slices.Equal(a.Columns, r.columnNames())
}

// arrayLiteral is a text[] as text.
func arrayLiteral(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = name
		if !plainName.MatchString(name) || name == "null" {
			quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
		}
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

// quoteLiteral writes a string so that it is read alike whatever standard_conforming_strings is.
func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
