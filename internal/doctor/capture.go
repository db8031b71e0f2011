package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pgwitness/internal/admin"
	"pgwitness/internal/audit"
)

var captureChecks = []check{
	{"capture", Capture, tablePart, "Nothing is recorded.", func(f *facts) finding {
		if out, absent := f.absent[triggerPart]; absent && out.status == Unknown {
			return out
		}
		if all := f.audited(); len(all) > 0 {
			var names []string
			for _, a := range all {
				names = append(names, a.name)
			}
			return ok("triggers on %s write %s: %s", count(len(all), "table"), f.table.Name, few(names))
		}
		fix := f.command("audit attach SCHEMA.TABLE --apply")
		if f.rows != nil && f.rows.LastID != nil {
			return unknown(fix, "%s has rows, but no trigger function is known by its source to write them", f.table.Name)
		}
		return problem(fix, "no trigger writes %s", f.table.Name)
	}},
	{"delete-image", Capture, triggerPart, "What was deleted cannot be told: the audit row of a DELETE holds nulls.", func(f *facts) finding {
		if names := f.faulty(func(fn *function) bool { return fn.on(onDelete) && !fn.usesOld() }); len(names) > 0 {
			return problem(f.harden(), "%s looks at NEW alone, which is null in a DELETE", few(names))
		}
		return ok("a DELETE is recorded with the old row")
	}},
	{"old-image", Capture, triggerPart, "What a value was before an UPDATE cannot be told.", func(f *facts) finding {
		if names := f.faulty(func(fn *function) bool { return fn.on(onUpdate) && !fn.usesOld() }); len(names) > 0 {
			return problem(f.harden(), "%s does not record the old row of an UPDATE", few(names))
		}
		return ok("an UPDATE is recorded with the old row")
	}},
	{"whole-row", Capture, triggerPart, "Changes of other columns are not recorded, and every write to a table without these columns fails.", func(f *facts) finding {
		var said []string
		for _, fn := range f.capturing() {
			if f.generic(&fn) {
				continue // it names a column or two only to be quick, and goes another way where a table has none
			}
			var fields []string
			for _, match := range newField.FindAllStringSubmatch(fn.code, -1) {
				fields = append(fields, match[1])
			}
			if len(fields) > 0 {
				said = append(said, fmt.Sprintf("%s() records the columns %s by name", fn.Name, few(unique(fields))))
			}
		}
		if len(said) > 0 {
			return problem(f.harden(), "%s", few(said))
		}
		return ok("rows are recorded whole, of any table")
	}},
	{"no-op-updates", Capture, triggerPart, "UPDATEs that change nothing fill the audit table and hide the others.", func(f *facts) finding {
		if names := f.faulty(func(fn *function) bool { return fn.on(onUpdate) && !fn.comparesRows() }); len(names) > 0 {
			return warning(f.harden(), "%s records UPDATEs that change nothing", few(names))
		}
		return ok("UPDATEs that change nothing are passed over")
	}},
	{"who", Capture, triggerPart, "Inside a SECURITY DEFINER function of the application, and after SET ROLE, current_user is not who logged in.", func(f *facts) finding {
		names := f.faulty(func(fn *function) bool { return current.MatchString(fn.code) && !session.MatchString(fn.code) })
		if len(names) > 0 {
			return warning(f.harden(), "%s records current_user and not session_user", few(names))
		}
		return ok("session_user is recorded")
	}},
	{"column-lengths", Capture, tablePart, "A longer name, such as one of PostgreSQL's 63 characters, makes the application's own write fail.", func(f *facts) finding {
		const longestName = 63
		var short []string
		for _, c := range f.table.Columns {
			if c.Length > 0 && c.Length < longestName {
				short = append(short, fmt.Sprintf("%s (%d)", c.Quoted, c.Length))
			}
		}
		if len(short) > 0 {
			return problem(f.harden(), "columns with room for fewer characters: %s", few(short))
		}
		return ok("every column has room for any name")
	}},
	{"time-zone", Capture, tablePart, "What is written depends on each session's TimeZone: times cannot be compared, and an hour comes twice each autumn.", func(f *facts) finding {
		switch c := f.table.column("event_timestamp"); {
		case c == nil:
			return skipped("there is no column event_timestamp")
		case c.Type == "timestamp without time zone":
			var flags []string
			if zone := f.server.TimeZone; !slices.Contains([]string{"UTC", "Etc/UTC", "GMT"}, zone) { // what was written is not UTC
				flags = []string{"--rewrite", "--time-zone", admin.QuoteShell(zone)}
			}
			return problem(f.harden(flags...), "event_timestamp has no time zone")
		default:
			return ok("event_timestamp is %s", c.Type)
		}
	}},
	{"id-range", Capture, tablePart, "When the numbers are used up, every write to every audited table fails.", idRange},
	{"large-values", Capture, triggerPart, "A value that is too large for jsonb, such as 140 MB of bytea, makes the application's own write fail.", func(f *facts) finding {
		if names := f.faulty(func(fn *function) bool { return !measures.MatchString(fn.code) }); len(names) > 0 {
			return warning(f.harden(), "%s records values of any size", few(names))
		}
		return ok("values are measured before they are recorded")
	}},
	{"recursion", Capture, triggerPart, "Each audit row would ask for another one: every audited write fails.", func(f *facts) finding {
		for _, fn := range f.capturing() {
			for _, t := range fn.Triggers {
				if f.table == nil || t.Relation != f.table.Name {
					continue
				}
				fix := fmt.Sprintf("DROP TRIGGER %s ON %s;", t.Name, t.Relation)
				if knowsTable.MatchString(fn.code) {
					return warning(fix, "the trigger %s is on the audit table itself, to no purpose: %s() passes its rows over", t.Name, fn.Name)
				}
				return problem(fix, "the trigger %s is on the audit table itself, and %s() writes into it", t.Name, fn.Name)
			}
		}
		return ok("the audit table is not audited into itself")
	}},
	{"detached-partitions", Capture, triggerPart, "A partition loses its trigger when it is detached, and nothing remembers that it was audited.", func(f *facts) finding {
		var names []string
		for _, a := range f.audited() {
			if slices.ContainsFunc(a.triggers, func(t trigger) bool { return t.Partition }) {
				names = append(names, a.name)
			}
		}
		if len(names) > 0 && (f.power == nil || !f.power.Installed) {
			return warning(f.harden(), "audited partitions: %s", few(names))
		}
		return ok("what is audited is remembered, or has no partitions")
	}},
	{"search-path", Capture, triggerPart, "The session's search_path decides which table, functions and operators are used.", func(f *facts) finding {
		if names := f.faulty(func(fn *function) bool { return !fn.pins("search_path") }); len(names) > 0 {
			return problem(f.harden(), "%s does not set search_path", few(names))
		}
		return ok("search_path is set by the function")
	}},
	{"settings", Capture, triggerPart, "The same value is recorded in different forms, as each session's settings have it.", func(f *facts) finding {
		var said []string
		for _, fn := range f.capturing() {
			if loose := fn.unpinned(); len(loose) > 0 {
				said = append(said, fmt.Sprintf("%s() does not set %s", fn.Name, strings.Join(loose, ", ")))
			}
		}
		if len(said) > 0 {
			return warning(f.harden(), "%s", few(said))
		}
		return ok("values have one form whatever a session sets")
	}},
	{"definer", Capture, triggerPart, "Every role that writes an audited table needs INSERT on the audit table, and can forge audit rows with it.", func(f *facts) finding {
		if names := f.faulty(func(fn *function) bool { return !fn.Definer }); len(names) > 0 {
			return problem(f.harden(), "%s runs with the writer's rights (SECURITY INVOKER)", few(names))
		}
		return ok("the function runs with its owner's rights")
	}},
	{"trigger-enabled", Capture, triggerPart, "Changes of these tables are not recorded.", func(f *facts) finding {
		names, fix := f.lacking(func(a audited) bool {
			return slices.ContainsFunc(a.triggers, func(t trigger) bool { return t.Enabled == "D" || t.Enabled == "R" })
		})
		if len(names) > 0 {
			return problem(fix, "triggers that are disabled: on %s", few(names))
		}
		return ok("all triggers are enabled")
	}},
	{"trigger-always", Capture, triggerPart, "Under session_replication_role = replica, as logical replication and some restores have it, nothing is recorded.", func(f *facts) finding {
		names, fix := f.lacking(func(a audited) bool {
			return slices.ContainsFunc(a.triggers, func(t trigger) bool { return t.Enabled == "O" })
		})
		if len(names) > 0 {
			return problem(fix, "triggers that are not ENABLE ALWAYS: on %s", few(names))
		}
		return ok("all triggers are ENABLE ALWAYS")
	}},
	{"trigger-operations", Capture, triggerPart, "The other operations on these tables are not recorded.", func(f *facts) finding {
		names, fix := f.lacking(func(a audited) bool { return a.operations()&(onInsert|onUpdate|onDelete) != onInsert|onUpdate|onDelete })
		if len(names) > 0 {
			return problem(fix, "not each of INSERT, UPDATE and DELETE has a trigger: on %s", few(names))
		}
		return ok("INSERT, UPDATE and DELETE are recorded")
	}},
	{"trigger-truncate", Capture, triggerPart, "A table can be emptied without a trace.", func(f *facts) finding {
		names, fix := f.lacking(func(a audited) bool { return a.operations()&onTruncate == 0 })
		if len(names) > 0 {
			return problem(fix, "no trigger for TRUNCATE: on %s", few(names))
		}
		return ok("TRUNCATE is recorded")
	}},
	{"coverage", Capture, coveragePart, "A table that was attached and is not fully audited any more: somebody altered or dropped its triggers, or it.", func(f *facts) finding {
		var said, names, plain []string
		audited := 0
		for _, t := range f.coverage.Tables {
			switch t.State {
			case audit.Broken:
				said = append(said, t.Table+" ("+strings.Join(t.Notes, "; ")+")")
				names = append(names, admin.QuoteShell(t.Table))
			case audit.Unaudited:
				plain = append(plain, t.Table)
			default:
				audited++
			}
		}
		switch {
		case len(said) > 0:
			return problem(f.command("audit attach "+strings.Join(names, " ")+" --apply"), "%s", few(said))
		case len(f.coverage.Unknown) > 0:
			return unknown(asAdministrator, "%s", few(f.coverage.Unknown))
		case len(plain) > 0:
			return ok("%s audited; not audited: %s", count(audited, "table"), few(plain))
		}
		return ok("%s audited, which is all", count(audited, "table"))
	}},
	{"event-triggers", Capture, tablePart, "DDL, GRANT and DISABLE TRIGGER are not recorded; only a superuser can change that.", func(f *facts) finding {
		var names []string
		for _, fn := range f.functions {
			for _, e := range fn.EventTriggers {
				if e.Enabled != "D" {
					names = append(names, e.Name+" ("+e.Event+")")
				}
			}
		}
		if len(names) == 0 {
			return warning(f.command("audit events --apply"), "no event trigger writes %s", f.table.Name)
		}
		return ok("%s", few(names))
	}},
}

// operations are the bits of all triggers.
func (a audited) operations() (bits int) {
	for _, t := range a.triggers {
		bits |= t.Type
	}
	return bits
}

// idRange looks at how many of the numbers of id are used up, and how long the others last at the pace so far.
func idRange(f *facts) finding {
	c, s := f.table.column("id"), f.table.Sequence
	limits := map[string]int64{"smallint": 1<<15 - 1, "integer": 1<<31 - 1, "bigint": 1<<63 - 1}
	if c == nil || limits[c.Type] == 0 {
		return skipped("there is no column id with numbers")
	}
	limit := limits[c.Type]
	var last *int64
	if s != nil && s.Column == "id" {
		limit, last = min(limit, s.Max), s.Last
		if s.Cycles {
			limit = limits[c.Type] // it begins again: the key is what stops writes then
		}
	}
	if last == nil && f.rows != nil {
		last = f.rows.LastID
	}
	fix := f.harden("--rewrite")
	const plenty = 1 << 40
	switch {
	case limit >= plenty:
		return ok("id has room for %.1g rows", float64(limit))
	case last == nil && (f.rows == nil || !f.table.Readable):
		return warning(fix, "id is %s, with room for %d rows; role %s may not see how many are used", c.Type, limit, f.server.User)
	}
	used := 0.0
	if last != nil {
		used = float64(*last) / float64(limit)
	}
	share := fmt.Sprintf("%.0f %%", 100*used)
	if used < 0.01 {
		share = "less than 1 %"
	}
	text := fmt.Sprintf("id is %s: %s of %d numbers used", c.Type, share, limit)
	const day, soon = 86_400, 365
	if r := f.rows; r != nil && last != nil && r.Oldest != nil && r.FirstID != nil && *r.Oldest > day && *last > *r.FirstID {
		perDay := float64(*last-*r.FirstID) / (*r.Oldest / day)
		days := float64(limit-*last) / perDay
		text += fmt.Sprintf("; at %.0f a day the rest lasts %s", perDay, age(days*day))
		if days < soon {
			return problem(fix, "%s", text)
		}
	}
	const most = 0.75
	if used >= most {
		return problem(fix, "%s", text)
	}
	return warning(fix, "%s", text)
}
