package audit

import (
	"context"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
	"pgwitness/scripts"
)

// catalog is what there is of tables and of what audits them.
type catalog struct {
	Schemas     []string      `json:"schemas"`
	HasRegistry bool          `json:"registry"`
	MayRead     bool          `json:"may_read"` // the registry
	User        string        `json:"user"`
	Functions   []procedure   `json:"functions"`
	Relations   []*relation   `json:"relations"`
	Attachments []*attachment `json:"-"`
	sound       []function    // the trigger functions as they should be
	procedures  map[int64]*procedure
	relations   map[int64]*relation
}

// procedure is a function of the schema pgwitness, or one that some trigger calls.
type procedure struct {
	OID    int64  `json:"oid"`
	Schema string `json:"schema"`
	function
}

// relation is a table, or what somebody might take for one.
type relation struct {
	OID        int64     `json:"oid"`
	Schema     string    `json:"schema"`
	Name       string    `json:"name"`
	Quoted     string    `json:"quoted"` // both, as SQL
	Kind       string    `json:"kind"`   // relkind
	Parent     *int64    `json:"parent"` // of a partition
	Inherits   bool      `json:"inherits"`
	Subscribed bool      `json:"subscribed"`
	Extension  bool      `json:"extension"`
	Columns    []column  `json:"columns"`
	Key        []string  `json:"key"`
	Triggers   []trigger `json:"triggers"` // those of ours, of the seed's function, and of functions that mention the audit table
	partitions []*relation
}

type column struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Renders bool   `json:"renders"` // whatever its value is
	Plain   bool   `json:"plain"`   // no setting but TimeZone changes its text
	Virtual bool   `json:"virtual"`
}

type trigger struct {
	Name     string `json:"name"`
	Quoted   string `json:"quoted"`
	Function int64  `json:"function"`
	Type     int    `json:"type"` // tgtype
	Args     string `json:"args"` // tgargs, in hexadecimal
	Enabled  string `json:"enabled"`
	Clone    bool   `json:"clone"` // made by the partitioned table's
	OldTable string `json:"old_table"`
	NewTable string `json:"new_table"`
	Narrowed bool   `json:"narrowed"` // by WHEN or by a list of columns
}

// attachment is a row of the registry.
type attachment struct {
	Relation int64    `json:"relation"`
	Name     string   `json:"name"`
	Mode     string   `json:"mode"`
	Key      []string `json:"key"`
	Options  options  `json:"options"`
	Columns  []string `json:"columns"`
}

//go:embed relations.sql
var relationsSQL string

const attachmentsSQL = `SELECT coalesce(json_agg(json_build_object('relation', relation::oid::bigint, 'name', relation_name, 'mode', mode,
	'key', key, 'options', options, 'columns', columns) ORDER BY relation_name), '[]') FROM pgwitness.attachment`

// catalog reads what there is.
func (d *Database) catalog(ctx context.Context) (*catalog, error) {
	rendered, err := d.render(scripts.Capture)
	if err != nil {
		return nil, err
	}
	c := &catalog{sound: functions(rendered), procedures: map[int64]*procedure{}, relations: map[int64]*relation{}}
	if err := d.conn.JSON(ctx, c, relationsSQL, []byte(d.cfg.Table)); err != nil {
		return nil, fmt.Errorf("reading the tables: %w", err)
	}
	if c.HasRegistry && c.MayRead {
		if err := d.conn.JSON(ctx, &c.Attachments, attachmentsSQL); err != nil {
			return nil, fmt.Errorf("reading the registry: %w", err)
		}
	}
	for i := range c.Functions {
		c.procedures[c.Functions[i].OID] = &c.Functions[i]
	}
	for _, r := range c.Relations {
		c.relations[r.OID] = r
	}
	for _, r := range c.Relations {
		for up := r.Parent; up != nil && c.relations[*up] != nil; up = c.relations[*up].Parent {
			c.relations[*up].partitions = append(c.relations[*up].partitions, r)
		}
	}
	return c, nil
}

// installed says whether the trigger functions and the registry are there.
func (c *catalog) installed() bool {
	return c.HasRegistry && c.named("capture") != nil && c.named("capture_statement") != nil
}

// requireInstalled refuses a database that attach and detach have nothing to work with in.
func (d *Database) requireInstalled(c *catalog) error {
	if !c.installed() {
		return admin.Refuse(replication.ErrSetup, "there are no trigger functions that write into %s: run `pgwitness audit harden` for a table that "+
			"is there, or `pgwitness audit install` for a new one, first", d.table)
	}
	if !c.MayRead {
		return admin.Refuse(replication.ErrSetup, "%s may not read the registry pgwitness.attachment: connect as a superuser or a member of "+
			"pgwitness_audit", c.User)
	}
	return nil
}

// named is the function of that name in the schema pgwitness, nil if there is none.
func (c *catalog) named(name string) *procedure {
	for i, p := range c.Functions {
		if p.Schema == "pgwitness" && p.Name == name {
			return &c.Functions[i]
		}
	}
	return nil
}

// captures says whether t calls a function that captures changes: ours, altered or not, or one that harden gave the same
// body.
func (c *catalog) captures(t trigger) bool {
	p := c.procedures[t.Function]
	if p.Schema == "pgwitness" {
		return p.Name == "capture" || p.Name == "capture_plain" || p.Name == "capture_statement"
	}
	return slices.ContainsFunc(c.sound, func(f function) bool { return f.Name == "capture" && f.Source == p.Source })
}

// isSeed says whether t calls the seed's function, hardened or not, or one of another name that was hardened: what writes
// the same rows as ours do.
func (c *catalog) isSeed(t trigger) bool {
	p := c.procedures[t.Function]
	return p.Name == "custom_audit_trigger_function" || p.Schema != "pgwitness" && c.captures(t)
}

// fault says what is wrong with a function of capture.sql, or with the seed's that has its body, "" for nothing.
func (c *catalog) fault(p *procedure) string {
	name := p.Schema + "." + p.Name
	want := "capture"
	if p.Schema == "pgwitness" {
		want = p.Name
	}
	i := slices.IndexFunc(c.sound, func(f function) bool { return f.Name == want })
	if i < 0 {
		return "" // of events.sql, or somebody's own
	}
	switch f := c.sound[i]; {
	case p.Source != f.Source:
		return name + " was altered, or is another version's: its body is not the one that this pgwitness installs"
	case !slices.Equal(slices.Sorted(slices.Values(p.Settings)), slices.Sorted(slices.Values(f.Settings))):
		return name + " was altered: it has not the settings that this pgwitness installs"
	case p.Definer != f.Definer:
		return name + " was altered: SECURITY DEFINER is not as installed"
	case !p.Private:
		return name + " does not belong to pgwitness_audit, or others may call it"
	}
	return ""
}

// functionFaults says what is wrong with the functions of capture.sql in the schema pgwitness.
func (c *catalog) functionFaults() []string {
	var faults []string
	for _, f := range c.sound {
		if c.named(f.Name) == nil {
			faults = append(faults, "pgwitness."+f.Name+" is missing")
		}
	}
	for i := range c.Functions {
		if p := &c.Functions[i]; p.Schema == "pgwitness" {
			if fault := c.fault(p); fault != "" {
				faults = append(faults, fault)
			}
		}
	}
	return faults
}

// isAuditTable says whether r is the audit table, a partition of one, or one that was: all of them are guarded.
func (d *Database) isAuditTable(c *catalog, r *relation) bool {
	for table := r; table != nil; {
		if table.Schema == "pgwitness" || table.Schema == d.cfg.Schema && table.Name == d.cfg.Table {
			return true
		}
		if table.Parent == nil {
			break
		}
		table = c.relations[*table.Parent]
	}
	return slices.ContainsFunc(r.Triggers, func(t trigger) bool {
		p := c.procedures[t.Function]
		return p.Schema == "pgwitness" && p.Name == "refuse"
	})
}

// root is the topmost partitioned table above r, or r.
func (c *catalog) root(r *relation) *relation {
	for r.Parent != nil && c.relations[*r.Parent] != nil {
		r = c.relations[*r.Parent]
	}
	return r
}

func (c *catalog) attachment(r *relation) *attachment {
	for _, a := range c.Attachments {
		if a.Relation == r.OID {
			return a
		}
	}
	return nil
}

// args are the trigger's arguments. The catalog ends each with a zero byte.
func (t trigger) args() []string {
	raw, err := hex.DecodeString(t.Args)
	if err != nil || len(raw) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
}

// plain says whether no setting but TimeZone changes the text of any of r's values.
func (r *relation) plain() bool {
	return !slices.ContainsFunc(r.Columns, func(c column) bool { return !c.Plain })
}

func (r *relation) columnNames() []string {
	names := make([]string, 0, len(r.Columns))
	for _, c := range r.Columns {
		names = append(names, c.Name)
	}
	return names
}

func (r *relation) trigger(name string) *trigger {
	for i, t := range r.Triggers {
		if t.Name == name {
			return &r.Triggers[i]
		}
	}
	return nil
}
