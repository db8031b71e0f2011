package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/replication"
)

// idSQL is the contract's id of every row of the audit table, in SQL: the key's texts, and the first 8 bytes of the SHA-256
// over each column that is not null, in the order of the names' bytes: the name and the text, each after its length.
// format('%s') gives what the type's output function does; a cast to text does not (bool, inet, char).
func idSQL(columns []typeColumn, key string) string {
	var values []string
	for _, c := range columns {
		name := identifier(c.name)
		values = append(values, fmt.Sprintf(
			"\n\t(convert_to(%s, 'UTF8'), CASE WHEN num_nulls(t.%s) = 0 THEN convert_to(format('%%s', t.%s), 'UTF8') END)",
			literal(c.name), name, name))
	}
	return fmt.Sprintf(`SELECT format('%%s', t.%[1]s) || '-' || left(encode(sha256(string_agg(
	int4send(length(c.name)) || c.name || int4send(length(c.value)) || c.value, '' ORDER BY c.name)), 'hex'), 16)
FROM public.custom_audit_log AS t, LATERAL (VALUES %[2]s) AS c(name, value)
WHERE c.value IS NOT NULL GROUP BY t.%[1]s ORDER BY t.%[1]s`, identifier(key), strings.Join(values, ","))
}

// rowSQL is what the event's row must be: to_json of the row, but for arrays and composites, which are their text.
func rowSQL(columns []typeColumn) string {
	var expressions []string
	for _, c := range columns {
		name := identifier(c.name)
		if c.asText {
			expressions = append(expressions, fmt.Sprintf("CASE WHEN num_nulls(t.%s) = 0 THEN format('%%s', t.%s) END AS %s", name, name, name))
		} else {
			expressions = append(expressions, "t."+name)
		}
	}
	return fmt.Sprintf("SELECT to_json(r) FROM (SELECT %s FROM public.custom_audit_log AS t ORDER BY t.id) AS r", strings.Join(expressions, ", "))
}

// hostile are defaults of a database's that change the texts of values for whoever does not set them.
var hostile = []string{
	"datestyle = 'SQL, DMY'", "timezone = 'Asia/Kathmandu'", "intervalstyle = 'iso_8601'", "extra_float_digits = -15",
	"bytea_output = 'escape'", "search_path = 'public'", "quote_all_identifiers = on",
}

// A row of every type is what the server itself says of it, whatever the database's defaults are.
func TestRowsAreWhatTheServerSays(t *testing.T) {
	everyServer(t, func(t *testing.T, version int, server *embeddedpg.Server) {
		const database = "oracle"
		createDatabase(t, server, database)
		columns := shuffledColumns()
		admin := connect(t, server, database)
		admin.exec(typesSetup)
		admin.exec(createTypesTable())
		admin.exec("CREATE PUBLICATION pgwitness FOR TABLE custom_audit_log")
		admin.createSlot()
		admin.exec(insertTypes(0))
		admin.exec(insertTypes(1))
		admin.exec("INSERT INTO custom_audit_log (id) VALUES (3)")
		admin.exec(`INSERT INTO custom_audit_log (id, text, bytea, row_data, text_array) SELECT 4, string_agg(line, ''), string_agg(line::bytea, ''),
			jsonb_agg(line), array_agg(line) FROM (SELECT 'ünï "' || md5(i::text) || E'"\n' AS line FROM generate_series(1, 30000) AS i) AS lines`)

		pinned := connectPinned(t, server, database)
		rows, ids := decodeRows(t, pinned)
		wantRows, wantIDs := pinned.column(rowSQL(columns)), pinned.column(idSQL(columns, "id"))
		for i, row := range wantRows {
			// A json value's line breaks are the one thing that is changed, for an event is a line.
			wantRows[i] = strings.NewReplacer("\n", " ", "\r", " ").Replace(row)
		}
		compare(t, "rows of the table", rows, wantRows)
		compare(t, "ids of the table", ids, wantIDs)
		if len(rows) != 4 {
			t.Errorf("%d rows", len(rows))
		}

		for _, setting := range append(slices.Clone(hostile), "client_encoding = 'LATIN1'") { // which most of the texts do not fit into
			admin.exec("ALTER DATABASE " + database + " SET " + setting)
		}
		rowsThen, idsThen := decodeRows(t, connectPinned(t, server, database))
		compare(t, "rows under other defaults", rowsThen, rows)
		compare(t, "ids under other defaults", idsThen, ids)

		admin.exec("ALTER DATABASE " + database + " RESET client_encoding")
		for _, setting := range hostile {
			name, _, _ := strings.Cut(setting, " ")
			settings := replication.PinnedSettings()
			maps.DeleteFunc(settings, func(pinned, _ string) bool { return strings.EqualFold(pinned, name) })
			unpinned, _ := decodeRows(t, connectWith(t, server, database, settings))
			if slices.Equal(unpinned, rows) {
				t.Errorf("%s changes nothing, even in a session that does not set it", setting)
			}
		}
	})
}

// decodeRows are the rows and ids of the events that the session c gives.
func decodeRows(t *testing.T, c conn) (rows, ids []string) {
	batch := decode(t, decoder.Config{Schema: "public", Table: "custom_audit_log", Key: []string{"id"}}, c.messages(""))
	for i := range batch.Events {
		rows = append(rows, string(batch.Events[i].Row()))
		ids = append(ids, batch.Events[i].ID())
	}
	return rows, ids
}

// compare reports where two lists of texts begin to differ.
func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d and %d", what, len(got), len(want))
	}
	for i := range got {
		at := 0
		for at < min(len(got[i]), len(want[i])) && got[i][at] == want[i][at] {
			at++
		}
		if got[i] != want[i] {
			from := max(0, at-50)
			t.Errorf("%s: the one of index %d differs from byte %d on:\n got …%.150q\nwant …%.150q", what, i, at, got[i][from:], want[i][from:])
		}
	}
}
