package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"pgwitness/internal/admin"
	"pgwitness/internal/audit"
)

// function is one whose source inserts into the audit table.
type function struct {
	Name          string    `json:"name"` // qualified and quoted
	Schema        string    `json:"schema"`
	Source        string    `json:"source"`
	Event         bool      `json:"event"` // for event triggers
	Owner         account   `json:"owner"`
	Definer       bool      `json:"definer"`
	Config        []string  `json:"config"` // such as "search_path=pg_catalog"
	Public        bool      `json:"public"` // everybody may execute it
	Executors     []string  `json:"executors"`
	Triggers      []trigger `json:"triggers"`
	EventTriggers []struct {
		Name    string `json:"name"`
		Event   string `json:"event"`
		Enabled string `json:"enabled"`
	} `json:"event_triggers"`

	code      string // Source without comments
	qualified bool   // it names the audit table with its schema
}

type trigger struct {
	Relation    string `json:"relation"` // qualified and quoted
	Name        string `json:"name"`
	Enabled     string `json:"enabled"` // O, D, R or A, as pg_trigger has it
	Type        int    `json:"type"`    // bits of pg_trigger.tgtype
	Conditional bool   `json:"conditional"`
	OldTable    string `json:"old_table"` // the transition table
	Partition   bool   `json:"partition"`
}

// The bits of pg_trigger.tgtype.
const (
	onRow      = 1 << 0
	before     = 1 << 1
	onInsert   = 1 << 2
	onDelete   = 1 << 3
	onUpdate   = 1 << 4
	onTruncate = 1 << 5
)

var comments = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/`)

func withoutComments(source string) string { return comments.ReplaceAllString(source, " ") }

var (
	newField   = regexp.MustCompile(`(?i)\bNEW\.("[^"]+"|[a-z_][a-z0-9_$]*)`)
	oldRow     = regexp.MustCompile(`(?i)\bOLD\b`)
	comparison = regexp.MustCompile(`(?i)\*<>|\*=|\bdistinct\s+from\b|\bOLD\s*(<>|!=|=)\s*NEW\b|\bNEW\s*(<>|!=|=)\s*OLD\b`)
	current    = regexp.MustCompile(`(?i)\bcurrent_user\b|\bcurrent_role\b`)
	session    = regexp.MustCompile(`(?i)\bsession_user\b`)
)

// on says whether a trigger calls it for op, one of the bits.
func (fn *function) on(op int) bool {
	return slices.ContainsFunc(fn.Triggers, func(t trigger) bool { return t.Type&op != 0 })
}

// usesOld says whether it looks at the row as it was.
func (fn *function) usesOld() bool {
	return oldRow.MatchString(fn.code) || slices.ContainsFunc(fn.Triggers, func(t trigger) bool {
		return t.OldTable != "" && strings.Contains(fn.code, t.OldTable)
	})
}

// comparesRows says whether an UPDATE that changes nothing can be told from one that does.
func (fn *function) comparesRows() bool {
	return comparison.MatchString(fn.code) || !slices.ContainsFunc(fn.Triggers, func(t trigger) bool {
		return t.Type&onUpdate != 0 && !t.Conditional
	})
}

// pins says whether it sets the parameter for itself, whatever the session has.
func (fn *function) pins(parameter string) bool {
	return slices.ContainsFunc(fn.Config, func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return strings.EqualFold(name, parameter)
	})
}

// unpinned are the settings that change the text of a value and are not pinned.
func (fn *function) unpinned() []string {
	return slices.DeleteFunc([]string{"TimeZone", "DateStyle", "IntervalStyle", "bytea_output", "extra_float_digits"}, fn.pins)
}

// diverted says whether an unqualified name leads it to another table than the audit table.
func (fn *function) diverted() bool { return !fn.qualified && !fn.pins("search_path") }

// ours says whether it is one of capture.sql.
func (fn *function) ours() bool { return fn.Schema == "pgwitness" }

// capturing are the functions that write the table and are called by triggers.
func (f *facts) capturing() []function {
	var all []function
	for _, fn := range f.functions {
		if len(fn.Triggers) > 0 {
			all = append(all, fn)
		}
	}
	return all
}

// faulty names the capturing functions that are not as they should be.
func (f *facts) faulty(is func(*function) bool) []string {
	var names []string
	for _, fn := range f.capturing() {
		if is(&fn) {
			names = append(names, fn.Name+"()")
		}
	}
	return names
}

// harden is the command that mends most of what is wrong with the table and the functions that write it: harden where they
// were there before, install where they came by that.
func (f *facts) harden(flags ...string) string {
	words := "audit harden"
	if f.table != nil && f.table.Partitioned && f.power != nil && f.power.Installed {
		words = "audit install"
	}
	var foreign []string
	known := true // by the name that the commands look for by themselves
	for _, fn := range f.capturing() {
		if !fn.ours() {
			foreign = append(foreign, "--function "+admin.QuoteShell(fn.Name))
			known = known && strings.HasSuffix(fn.Name, ".custom_audit_trigger_function")
		}
	}
	if known {
		foreign = nil
	}
	return f.command(strings.Join(slices.Concat([]string{words}, foreign, flags, []string{"--apply"}), " "))
}

// audited is a relation with the triggers that write the audit table.
type audited struct {
	name     string
	ours     bool
	triggers []trigger
}

// audited are the relations with such triggers, by name.
func (f *facts) audited() []audited {
	var all []audited
	for _, fn := range f.capturing() {
		for _, t := range fn.Triggers {
			i := slices.IndexFunc(all, func(a audited) bool { return a.name == t.Relation })
			if i < 0 {
				i = len(all)
				all = append(all, audited{name: t.Relation})
			}
			all[i].ours = all[i].ours || fn.ours()
			all[i].triggers = append(all[i].triggers, t)
		}
	}
	slices.SortFunc(all, func(a, b audited) int { return strings.Compare(a.name, b.name) })
	return all
}

// lacking names the audited relations that are not as they should be, with the command that mends them.
func (f *facts) lacking(is func(audited) bool) (names []string, fix string) {
	var attached []string
	for _, a := range f.audited() {
		if !is(a) {
			continue
		}
		names = append(names, a.name)
		if a.ours {
			attached = append(attached, admin.QuoteShell(a.name))
		}
	}
	fix = f.harden()
	if len(attached) > 0 {
		fix = f.command("audit attach " + strings.Join(attached, " ") + " --apply")
	}
	return names, fix
}

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
