package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"pgwitness/internal/config"
)

// Detach makes the script that takes the triggers off tables and forgets that they were attached. One that was dropped is
// forgotten by the name that it had. Errors are Attach's.
func (d *Database) Detach(ctx context.Context, names []config.Table) (Script, error) {
	c, err := d.catalog(ctx)
	if err != nil {
		return Script{}, err
	}
	if err := d.requireInstalled(c); err != nil {
		return Script{}, err
	}
	script := Script{Title: "Detach tables: from then on, what changes in them is not written into " + d.table + "."}
	for _, name := range names {
		if step, ok := c.forgetDropped(name); ok {
			script.Steps = append(script.Steps, step)
			continue
		}
		tables, err := d.named(c, []config.Table{name})
		if err != nil {
			return Script{}, err
		}
		r := tables[0]
		if root := c.root(r); root != r && c.attachment(root) != nil {
			script.Notes = append(script.Notes, fmt.Sprintf("%s is audited as a partition of %s: detach that.", r.Quoted, root.Quoted))
			continue
		}
		if step, needed := c.detachStep(r); needed {
			script.Steps = append(script.Steps, step)
		} else {
			script.Notes = append(script.Notes, r.Quoted+" is not attached.")
		}
	}
	return script, nil
}

func (c *catalog) forgetDropped(name config.Table) (Step, bool) {
	gone := slices.IndexFunc(c.Attachments, func(a *attachment) bool { return c.relations[a.Relation] == nil && a.Name == name.String() })
	exists := slices.ContainsFunc(c.Relations, func(r *relation) bool { return r.Schema == name.Schema && r.Name == name.Name })
	if gone < 0 || exists {
		return Step{}, false
	}
	return Step{
		Why: fmt.Sprintf("Forget %s, which was dropped", name),
		SQL: fmt.Sprintf("DELETE FROM pgwitness.attachment WHERE relation = %d;\n", c.Attachments[gone].Relation),
	}, true
}

func (c *catalog) detachStep(r *relation) (step Step, needed bool) {
	var sql strings.Builder
	for _, table := range slices.Concat([]*relation{r}, r.partitions) {
		for _, t := range table.Triggers {
			if !t.Clone && c.captures(t) {
				fmt.Fprintf(&sql, "DROP TRIGGER %s ON %s;\n", t.Quoted, table.Quoted)
			}
		}
		if c.attachment(table) != nil {
			fmt.Fprintf(&sql, "DELETE FROM pgwitness.attachment WHERE relation = %s::regclass;\n", quoteLiteral(table.Quoted))
		}
	}
	return Step{Why: "Take the triggers off " + r.Quoted, SQL: sql.String()}, sql.Len() > 0
}
