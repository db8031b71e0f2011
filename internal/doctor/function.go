package doctor

import (
	"regexp"
	"slices"
	"strings"

	"pgwitness/internal/admin"
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
	measures   = regexp.MustCompile(`(?i)\b(pg_column_size|octet_length|length)\s*\(`)
	knowsTable = regexp.MustCompile(`(?i)\bTG_(RELID|TABLE_NAME|RELNAME)\b\s*(=|<>|!=|IS\b|IN\b|NOT\b)`)
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
	if fn.ours() { // functions-altered looks at those, and coverage at whether a table is served by the right one
		return nil
	}
	return slices.DeleteFunc([]string{"TimeZone", "DateStyle", "IntervalStyle", "bytea_output", "extra_float_digits"}, fn.pins)
}

// diverted says whether an unqualified name leads it to another table than the audit table.
func (fn *function) diverted() bool { return !fn.qualified && !fn.pins("search_path") }

// ours says whether it is one of capture.sql.
func (fn *function) ours() bool { return fn.Schema == "pgwitness" }

// generic says whether fn has the body of one of capture.sql, as what harden mended has. functions-altered looks at those.
func (f *facts) generic(fn *function) bool {
	return slices.ContainsFunc(f.functions, func(own function) bool { return own.ours() && own.Source == fn.Source })
}

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
