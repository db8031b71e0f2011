package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
	"pgwitness/scripts"
)

// Harden says how the audit table that is there is mended.
type Harden struct {
	// Functions are the trigger functions to mend, by name in the audit table's schema or as schema.name. Default to
	// custom_audit_trigger_function.
	Functions []string
	// Rewrite allows what writes the whole table anew while nobody else can use it: a bigint id, and another zone than UTC.
	Rewrite bool
	// TimeZone is the one in which a zone-less event_timestamp was written. Defaults to the server's, if that is UTC.
	TimeZone string
}

// rewriteRate is how many bytes of table and indexes a modest machine rewrites in a second.
const rewriteRate = 30 << 20

// Harden makes the script that mends the audit table in place, and the trigger functions that write into it. What it finds
// is kept, so that Unharden can bring it back. A replication.ErrSetup says what is in the way.
func (d *Database) Harden(ctx context.Context, o Harden) (Script, error) {
	t, err := d.tableState(ctx, o.Functions)
	if err != nil {
		return Script{}, err
	}
	if t.Kind == "" {
		return Script{}, admin.Refuse(replication.ErrSetup, "there is no table %s: name the audit table in source.table, or run `pgwitness audit install`", d.table)
	}
	if err := t.check(d); err != nil {
		return Script{}, err
	}
	zone, err := d.zone(ctx, t, o)
	if err != nil {
		return Script{}, err
	}
	plan := d.plan(t, o, zone)
	if plan.altersTypes() && len(t.Views) > 0 {
		return Script{}, admin.Refuse(replication.ErrSetup, "%s cannot be widened under %s: drop the views, and create them anew afterwards",
			d.table, strings.Join(t.Views, ", "))
	}
	capture, err := d.render(scripts.Capture)
	if err != nil {
		return Script{}, err
	}
	altered, err := d.altered(ctx, capture)
	if err != nil {
		return Script{}, err
	}
	script := Script{
		Title: fmt.Sprintf("pgwitness audit harden: mend %s and what writes into it. Old rows stay as they are. It takes a superuser.", d.table),
		Notes: plan.notes,
		Next:  "See which tables are audited with `pgwitness audit coverage`. Others are added with `pgwitness audit attach`.",
	}
	if len(altered) == 0 && t.Ready && len(plan.todo) == 0 {
		return script, nil
	}
	if len(plan.todo) > 0 {
		script.Notes = append([]string{"What is to mend: " + strings.Join(plan.todo, "; ") + "."}, script.Notes...)
	}
	script.Steps = settings(o.Functions)
	if zone != "" {
		script.Steps = append(script.Steps, Step{Why: "event_timestamp was written in " + zone, SQL: "SET LOCAL pgwitness.time_zone = " + quoteLiteral(zone) + ";"})
	}
	if o.Rewrite {
		script.Steps = append(script.Steps, Step{Why: "The table may be rewritten", SQL: "SET LOCAL pgwitness.rewrite = 'on';"})
	}
	return d.add(script, scripts.Capture, scripts.Mend, scripts.Harden)
}

// Unharden makes the script that brings back what Harden found.
func (d *Database) Unharden(ctx context.Context) (Script, error) {
	t, err := d.tableState(ctx, nil)
	if err != nil {
		return Script{}, err
	}
	script := Script{
		Title: fmt.Sprintf("pgwitness audit harden --undo: bring back what wrote into %s before, and everybody's rights. "+
			"No row is lost. Types that were widened and columns that were added stay: to narrow them could lose something.", d.table),
		Notes: t.detached(),
	}
	if kept, err := d.kept(ctx, t, "harden"); err != nil || !kept {
		return script, err
	}
	if t.Aside {
		return Script{}, admin.Refuse(replication.ErrSetup, "%s was put aside by install: run `pgwitness audit install --undo` first", d.aside())
	}
	return d.add(script, scripts.Mend, scripts.Unharden)
}

// kept says whether there is something to undo of command. It fails where somebody else could have written what would be run.
func (d *Database) kept(ctx context.Context, t tableState, command string) (bool, error) {
	if !t.Ready {
		return false, nil
	}
	safe, err := d.conn.Text(ctx, `SELECT rolsuper OR rolname = current_user FROM pg_class JOIN pg_roles r ON r.oid = relowner
		WHERE pg_class.oid = 'pgwitness.undo'::regclass`)
	if err != nil {
		return false, err
	}
	if safe != "t" {
		return false, admin.Refuse(replication.ErrSetup, "pgwitness.undo belongs to a role that is neither a superuser nor yours, and may hold anything: "+
			"look at it, and ALTER TABLE pgwitness.undo OWNER TO yourself")
	}
	kept, err := d.conn.Text(ctx, "SELECT EXISTS (SELECT FROM pgwitness.undo WHERE command = $1)", []byte(command))
	return kept == "t", err
}

// plan is what Harden finds to mend, and what to know before.
type plan struct {
	todo, notes []string
	types       []string
}

func (p *plan) altersTypes() bool { return len(p.types) > 0 }

func (d *Database) plan(t tableState, o Harden, zone string) *plan {
	p := &plan{}
	rewrites := false
	for _, name := range []string{"event_type", "user_name", "table_name"} {
		if t.Columns[name].Type == "character varying" {
			p.types = append(p.types, name+" becomes text")
		}
	}
	if t.Columns["event_timestamp"].Type == zoneless {
		p.types = append(p.types, "event_timestamp becomes timestamptz, its values read as "+zone)
		rewrites = zone != "UTC"
	}
	if narrow := t.Columns["id"].Type; narrow == "integer" || narrow == "smallint" {
		if o.Rewrite {
			p.types = append(p.types, "id becomes bigint")
			rewrites = true
		} else {
			p.notes = append(p.notes, "id stays "+narrow+", and every audited write fails once it is used up: --rewrite makes it bigint.")
		}
	}
	if rewrites {
		estimate := time.Duration(float64(t.Bytes) / rewriteRate * float64(time.Second)).Round(time.Second)
		p.notes = append(p.notes, fmt.Sprintf("%s (%s) is rewritten with its indexes: nobody can read it or write an audited table for about %v, "+
			"at 30 MiB/s; as much disk space again is needed meanwhile.", d.table, volume(t.Bytes), max(estimate, time.Second)))
	}
	p.todo = slices.Clone(p.types)
	for _, c := range addedColumns {
		if _, ok := t.Columns[c.name]; !ok {
			p.todo = append(p.todo, c.name+" is added")
		}
	}
	if !t.Sealed || !t.Reachable {
		p.todo = append(p.todo, "the table becomes append-only, and everybody but its owner, pgwitness_audit, may read it at most")
	}
	for _, writer := range t.Writers {
		if !writer.Mended {
			p.todo = append(p.todo, "the function "+writer.Name+" captures any table, with old and new images")
		}
	}
	for _, trigger := range t.Weak {
		p.todo = append(p.todo, "the trigger "+trigger+" fires always, and TRUNCATE is audited")
	}
	if len(t.Writers) == 0 {
		p.notes = append(p.notes, "No trigger function is mended: there is none named "+strings.Join(writers(o.Functions), " or ")+". --function names others.")
	}
	if others := append(slices.Clone(t.Triggers), t.Rules...); len(others) > 0 {
		p.notes = append(p.notes, "On the audit table there are others' objects, which may change what is written into it: "+strings.Join(others, ", ")+".")
	}
	return p
}

const zoneless = "timestamp without time zone"

// zone is the one that a zone-less event_timestamp is read in, "" if it has one.
func (d *Database) zone(ctx context.Context, t tableState, o Harden) (string, error) {
	if t.Columns["event_timestamp"].Type != zoneless {
		return "", nil
	}
	zone := o.TimeZone
	if zone == "" {
		zone = t.TimeZone
		for _, other := range t.Zones {
			if !isUTC(other) {
				zone = other
			}
		}
		if !isUTC(zone) {
			return "", admin.Refuse(replication.ErrConfig, "event_timestamp has no time zone, and the server or a role has %s: say with --time-zone in "+
				"which one it was written; one other than UTC takes --rewrite", zone)
		}
	}
	if isUTC(zone) {
		return "UTC", nil
	}
	name, err := d.conn.Text(ctx, "SELECT name FROM pg_timezone_names WHERE lower(name) = lower($1)", []byte(zone))
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", admin.Refuse(replication.ErrConfig, "--time-zone: the server knows no zone %q; pg_timezone_names lists them", zone)
	case !o.Rewrite:
		return "", admin.Refuse(replication.ErrConfig, "--time-zone: to read event_timestamp as of %s, the table (%s) must be rewritten: give --rewrite as well",
			name, volume(t.Bytes))
	}
	return name, nil
}

func isUTC(zone string) bool {
	return slices.Contains([]string{"UTC", "ETC/UTC", "GMT", "ETC/GMT", "UCT", "ETC/UCT", "ZULU", "ETC/ZULU"}, strings.ToUpper(strings.Trim(zone, `'"`)))
}
