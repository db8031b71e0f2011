package config

import (
	"errors"
	"regexp"
	"strings"
)

// maxNameBytes is the length to which PostgreSQL silently cuts a name (NAMEDATALEN - 1).
const maxNameBytes = 63

// Table is a qualified table name, each half spelled as the catalog has it.
type Table struct {
	Schema string
	Name   string
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_$]*$`)

// String returns schema.name, a half in double quotes where it needs them.
func (t Table) String() string { return quoteName(t.Schema) + "." + quoteName(t.Name) }

func quoteName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// MarshalText returns what String returns.
func (t Table) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

var errTable = errors.New(`want schema.name, such as public.custom_audit_log or "My Schema"."audit"`)

// UnmarshalText reads schema.name as SQL does: a half in double quotes is taken as it stands, another one is folded to
// lower case. A bare name is refused, because it would mean whatever the search_path of the day makes of it.
func (t *Table) UnmarshalText(text []byte) error {
	schema, rest, ok := cutName(string(text))
	if !ok || !strings.HasPrefix(rest, ".") {
		return errTable
	}
	name, rest, ok := cutName(rest[1:])
	if !ok || rest != "" {
		return errTable
	}
	*t = Table{Schema: schema, Name: name}
	return nil
}

// Tables is a list of tables, of which one without a schema stands for all of its name. It is written with commas.
type Tables []Table

var errTables = errors.New(`want tables such as orders, shop.customers or "My Schema"."orders", separated by commas`)

// UnmarshalText reads a list whose names are spelled as Table's are.
func (t *Tables) UnmarshalText(text []byte) error {
	*t = nil
	for rest, more := string(text), true; more; {
		name, after, ok := cutName(strings.TrimSpace(rest))
		table := Table{Name: name}
		if qualified, found := strings.CutPrefix(after, "."); ok && found {
			table.Schema = name
			table.Name, after, ok = cutName(qualified)
		}
		after = strings.TrimSpace(after)
		rest, more = strings.CutPrefix(after, ",")
		if !ok || !more && after != "" {
			return errTables
		}
		*t = append(*t, table)
	}
	return nil
}

var leadingName = regexp.MustCompile(`^(?:"((?:[^"\x00]|"")+)"|([A-Za-z_\x{80}-\x{10FFFF}][A-Za-z0-9_$\x{80}-\x{10FFFF}]*))`)

func cutName(s string) (name, rest string, ok bool) {
	match := leadingName.FindStringSubmatch(s)
	if match == nil {
		return "", "", false
	}
	name = strings.ReplaceAll(match[1], `""`, `"`)
	if match[2] != "" {
		name = foldASCII(match[2])
	}
	return name, s[len(match[0]):], len(name) <= maxNameBytes
}

// foldASCII lowers A to Z alone, as PostgreSQL does for names in a multi-byte encoding.
func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
