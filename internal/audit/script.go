package audit

import (
	"context"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
)

// render puts the audit table's name in the place of the default one in one of the embedded scripts. The name of a
// partition begins with the table's. An error is a replication.ErrSetup: the scripts have the name in string literals,
// formats and bodies of functions, where some characters would have to be written in as many ways.
func (d *Database) render(sql string) (string, error) {
	schema, table := d.cfg.Schema, d.cfg.Table
	if i := strings.IndexFunc(schema+table, func(r rune) bool { return strings.ContainsRune(`'\%$`, r) || unicode.IsControl(r) }); i >= 0 {
		return "", admin.Refuse(replication.ErrSetup, "an audit table named %s cannot be captured into, because of the %q: rename it", d.table, (schema + table)[i])
	}
	stem := table
	const room = 63 - len("_default") // PostgreSQL cuts longer names
	for len(stem) > room {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	return strings.NewReplacer(
		"pgwitness.custom_audit_log_default", "pgwitness."+quoteIdent(stem+"_default"),
		"public.custom_audit_log_old", quoteIdent(schema)+"."+quoteIdent(stem+"_old"),
		"'custom_audit_log_", "'"+stem+"_",
		"public.custom_audit_log", d.table,
		" SCHEMA public ", " SCHEMA "+quoteIdent(schema)+" ",
	).Replace(sql), nil
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// quoteIdent quotes a name unless it needs none. A keyword is the caller's to avoid.
func quoteIdent(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// steps renders a script and cuts it before each comment that begins a paragraph.
func (d *Database) steps(sql string) ([]Step, error) {
	sql, err := d.render(sql)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for paragraph := range strings.SplitSeq(strings.TrimSpace(sql), "\n\n-- ") {
		paragraph = "-- " + strings.TrimPrefix(paragraph, "-- ") + "\n"
		if stripComments(paragraph) == "" && len(steps) == 0 {
			continue // the head, which says how to run the script by hand
		}
		steps = append(steps, Step{Why: firstSentence(paragraph), SQL: paragraph})
	}
	return steps, nil
}

func firstSentence(paragraph string) string {
	var words []string
	for line := range strings.Lines(paragraph) {
		text, comment := strings.CutPrefix(line, "--")
		if !comment {
			break
		}
		words = append(words, strings.Fields(text)...)
	}
	sentence, _, _ := strings.Cut(strings.Join(words, " ")+" ", ". ")
	return strings.TrimSuffix(strings.TrimSpace(sentence), ".")
}

// stripComments leaves out the lines that are comments or empty.
func stripComments(sql string) string {
	var kept strings.Builder
	for line := range strings.Lines(sql) {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "--") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// function is a function of the schema pgwitness, as a script makes it or the catalog has it.
type function struct {
	Name     string   `json:"name"`
	Source   string   `json:"source"`
	Settings []string `json:"settings"`
	Definer  bool     `json:"definer"`
	Private  bool     `json:"private"` // it belongs to pgwitness_audit, and nobody else may call it
}

var functionSQL = regexp.MustCompile(`(?s)CREATE OR REPLACE FUNCTION pgwitness\.(\w+)\((.*?)AS \$pgwitness\$(.*?)\$pgwitness\$`)

// functions are the functions that a rendered script makes.
func functions(sql string) []function {
	var all []function
	for _, match := range functionSQL.FindAllStringSubmatch(sql, -1) {
		head := match[2]
		f := function{Name: match[1], Source: match[3], Definer: strings.Contains(head, "SECURITY DEFINER"), Private: true}
		for _, setting := range strings.Split(head, "SET ")[1:] {
			f.Settings = append(f.Settings, strings.NewReplacer(" = ", "=", `"`, "", "'", "").Replace(strings.TrimSpace(setting)))
		}
		all = append(all, f)
		if f.Name == "capture" { // of which capture.sql makes another one
			f.Name, f.Settings = "capture_plain", []string{"search_path=pg_catalog, pg_temp", "TimeZone=UTC"}
			all = append(all, f)
		}
	}
	return all
}

const functionsQuery = `SELECT coalesce(json_agg(json_build_object('name', proname, 'source', prosrc, 'settings', proconfig, 'definer', prosecdef,
	'private', pg_get_userbyid(proowner) = 'pgwitness_audit' AND NOT EXISTS (
		SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee <> proowner))), '[]')
	FROM pg_proc WHERE pronamespace = to_regnamespace('pgwitness')`

// altered gives the names of the functions that are not as the rendered script makes them, or not there at all.
func (d *Database) altered(ctx context.Context, sql string) ([]string, error) {
	var found []function
	if err := d.conn.JSON(ctx, &found, functionsQuery); err != nil {
		return nil, err
	}
	var names []string
	for _, want := range functions(sql) {
		if !slices.ContainsFunc(found, func(f function) bool { return reflect.DeepEqual(f, want) }) {
			names = append(names, "pgwitness."+want.Name)
		}
	}
	return names, nil
}
