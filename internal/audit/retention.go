package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
	"pgwitness/internal/webclient"
)

// Retention says which audit rows are to go, and whom to ask before.
type Retention struct {
	// Keep is how long rows are kept.
	Keep Keep
	// Ahead is how many months' partitions are made ahead.
	Ahead int
	// Batch is how many rows one transaction deletes from a table without partitions. Defaults to 5000.
	Batch int
	// Wait is how long the slot, and the sinks, may take to reach the rows' position. Defaults to 30s.
	Wait time.Duration
	// Slot is the replication slot that must have confirmed the rows.
	Slot string
	// Status ask the consumers whose sinks must have the rows too; they are the caller's to close. Defaults to none.
	Status []*webclient.Client
}

// ErrBehind is why rows that are old enough are kept: they were not delivered yet. A later run may succeed.
var ErrBehind = errors.New("not every row was delivered")

// auditTable is what the catalog says of the audit table, as far as retention looks at it. Times are UTC.
type auditTable struct {
	OID  string `json:"oid"`
	Kind string `json:"kind"` // pg_class.relkind
	// Cut is the moment before which rows have expired; nil with a Keep that is Forever.
	Cut *time.Time `json:"cut"`
	// Columns are the types of the columns that an INSERT may name, as SQL has them.
	Columns map[string]string `json:"columns"`
	// TimeType is the type of event_timestamp, "" where there is no such column.
	TimeType string `json:"time_type"`
	// Ranged says that the table is partitioned by ranges of event_timestamp alone.
	Ranged bool `json:"ranged"`
	// AddPartitions says that pgwitness.add_partitions makes this table's partitions, Guard that there is pgwitness.guard.
	AddPartitions bool        `json:"add_partitions"`
	Guard         bool        `json:"guard"`
	Partitions    []partition `json:"partitions"`
}

// The table is looked up by its names because to_regclass takes USAGE on the schema. Arguments: schema, table, interval or
// null. It is to run under TimeZone UTC, in which the bounds are read and the months counted.
const auditTableQuery = `SELECT json_build_object('oid', c.oid::text, 'kind', c.relkind,
 'cut', date_trunc('second', current_timestamp) - $3::interval,
 'columns', (SELECT json_object_agg(attname, format_type(atttypid, atttypmod)) FROM pg_attribute
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''),
 'time_type', coalesce((SELECT format_type(atttypid, NULL) FROM pg_attribute
    WHERE attrelid = c.oid AND attname = 'event_timestamp' AND attnum > 0 AND NOT attisdropped), ''),
 'ranged', coalesce((SELECT partstrat = 'r' AND partnatts = 1 AND attname = 'event_timestamp' FROM pg_partitioned_table
    LEFT JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0] WHERE partrelid = c.oid), false),
 'add_partitions', EXISTS (SELECT FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace
    WHERE s.nspname = 'pgwitness' AND p.proname = 'add_partitions' AND position(format('%I.%I', $1::text, $2::text) IN p.prosrc) > 0),
 'guard', EXISTS (SELECT FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace
    WHERE s.nspname = 'pgwitness' AND p.proname = 'guard'),
 'partitions', (SELECT json_agg(leaf ORDER BY leaf."from" NULLS FIRST) FROM (` + partitionQuery + `) AS leaf))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`

// readTable reads the catalog and refuses what retention cannot work on.
func (d *Database) readTable(ctx context.Context, keep Keep) (*auditTable, error) {
	if _, err := d.conn.Script(ctx, "BEGIN READ ONLY; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'"); err != nil {
		return nil, err
	}
	table := new(auditTable)
	text, err := d.conn.Text(ctx, auditTableQuery, []byte(d.cfg.Schema), []byte(d.cfg.Table), keep.interval())
	if _, end := d.conn.Script(ctx, "ROLLBACK"); err == nil {
		err = end
	}
	if err == nil && text == "" {
		return nil, admin.Refuse(replication.ErrSetup, "table %s does not exist; name the audit table in source.table", d.table)
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), table)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	switch {
	case table.Kind != "r" && table.Kind != "p":
		return nil, admin.Refuse(replication.ErrSetup, "%s is not a table; name the audit table in source.table", d.table)
	case !table.zoned() && table.TimeType != "timestamp without time zone" && table.TimeType != "date":
		return nil, admin.Refuse(replication.ErrSetup, "%s has no column event_timestamp with a date in it, so nobody can say which rows are old", d.table)
	case table.Kind == "p" && !table.Ranged:
		return nil, admin.Refuse(replication.ErrSetup, "%s is partitioned otherwise than by ranges of event_timestamp: no partition of it expires as a whole; "+
			"retention of such a table is yours", d.table)
	}
	if table.Cut != nil && !table.zoned() {
		// The writers' time zones are not known. None is further than a day from UTC.
		day := table.Cut.AddDate(0, 0, -1)
		table.Cut = &day
	}
	return table, nil
}

// zoned says whether event_timestamp is a moment. Otherwise it is what a clock on somebody's wall showed.
func (t *auditTable) zoned() bool { return t.TimeType == "timestamp with time zone" }

// cut is the moment before which rows have expired as an SQL literal of event_timestamp's type.
func (t *auditTable) cut() string {
	if t.zoned() {
		return "'" + instant(*t.Cut) + "'"
	}
	return "'" + t.Cut.Format(time.DateTime) + "'"
}

// instant is how times are written, in messages and in row_data too.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// announcement is the statement that says to the stream, in the same transaction, that what follows is retention.
func (d *Database) announcement(t *auditTable) string {
	content, _ := json.Marshal(struct { // strings alone: it cannot fail
		Table  string `json:"table"`
		Before string `json:"before"`
	}{d.cfg.Schema + "." + d.cfg.Table, instant(*t.Cut)})
	return "SELECT pg_logical_emit_message(true, '" + decoder.RetentionPrefix + "', " + quoteLiteral(string(content)) + ");"
}

// entry is the statement that writes down, in the audit table itself, what was removed. data is an SQL expression for what
// row_data says beside what it always says. What the table has no column for is left out, and what is too long is cut.
func (d *Database) entry(t *auditTable, what, data string) string {
	values := []struct{ column, value string }{
		{"event_type", "'RETENTION'"},
		{"event_timestamp", "current_timestamp"},
		{"user_name", "current_user"},
		{"table_name", quoteLiteral(d.cfg.Table)},
		{"row_data", fmt.Sprintf("jsonb_build_object('v', 2, 'event_type', 'RETENTION', 'what', '%s', 'before', '%s', %s)", what, instant(*t.Cut), data)},
		{"schema_name", quoteLiteral(d.cfg.Schema)},
		{"rel_oid", quoteLiteral(d.table) + "::regclass"},
		{"session_user_name", "session_user"},
		{"tx_id", "txid_current()"},
		{"client_addr", "inet_client_addr()"},
		{"application_name", "current_setting('application_name')"},
		{"actor", "nullif(current_setting('audit.actor', true), '')"},
		{"request_id", "nullif(current_setting('audit.request_id', true), '')"},
	}
	var columns, chosen []string
	for _, v := range values {
		if kind, ok := t.Columns[v.column]; ok {
			if strings.Contains(kind, "(") { // only what is cast explicitly is cut
				v.value = "CAST(" + v.value + " AS " + kind + ")"
			}
			columns = append(columns, v.column)
			chosen = append(chosen, v.value)
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s)\nSELECT %s;", d.table, strings.Join(columns, ", "), strings.Join(chosen, ",\n    "))
}

// Retain removes what has expired and makes partitions ahead, and writes to w what it did, as it goes, a line a step. An
// error leaves whole steps done; another run goes on from there. It is an ErrBehind where rows were not delivered yet, of
// whom it says; a replication.ErrSetup where a person has to change something first; a replication.ErrEvidence if the slot
// was invalidated.
func (d *Database) Retain(ctx context.Context, w io.Writer, r Retention) error {
	if r.Batch <= 0 {
		r.Batch = 5000
	}
	table, err := d.readTable(ctx, r.Keep)
	if err != nil {
		return err
	}
	unlock, err := d.lockOut(ctx, table)
	if err != nil {
		return err
	}
	defer unlock()
	consumers, err := d.newConsumers(ctx, r)
	if err != nil {
		return err
	}
	defer consumers.close()
	report := &reporter{w: w}
	if table.Kind == "p" {
		err = d.retainPartitions(ctx, report, r, table, consumers)
	} else {
		err = d.retainRows(ctx, report, r, table, consumers)
	}
	if err == nil || errors.Is(err, ErrBehind) {
		d.remains(ctx, report, table)
	}
	if err == nil {
		err = report.err
	}
	return err
}

// lockOut keeps a second run out: two would wait for each other's locks.
func (d *Database) lockOut(ctx context.Context, table *auditTable) (unlock func(), err error) {
	const lock = "(hashtext('pgwitness.retention'), $1::oid::int8::bit(32)::int4)"
	locked, err := d.conn.Text(ctx, "SELECT pg_try_advisory_lock"+lock, []byte(table.OID))
	if err == nil && locked != "t" {
		err = fmt.Errorf("another run of retention works on %s; run it again when that has ended", d.table)
	}
	return func() {
		_, _ = d.conn.Text(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock"+lock, []byte(table.OID)) // a lost connection has none
	}, err
}

// remains tells what there is now. Nothing depends on it, so it is given little time, and may fail.
func (d *Database) remains(ctx context.Context, report *reporter, table *auditTable) {
	const patience = "SET statement_timeout = '5s'"
	if _, err := d.conn.Script(ctx, patience); err != nil {
		return
	}
	size, err := d.conn.Text(ctx, `SELECT pg_size_pretty(sum(pg_total_relation_size(oid))) FROM (SELECT $1::oid AS oid
		UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::oid) AS tree`, []byte(table.OID))
	if err != nil {
		return
	}
	// Of partitions, only the oldest one is read that has rows: the whole table may be large.
	from := []string{d.table}
	if table.Kind == "p" {
		if now, err := d.readTable(ctx, Keep{}); err == nil {
			from = nil
			for _, p := range now.Partitions {
				if p.Kind == "r" && !p.Default {
					from = append(from, p.Name)
				}
			}
		}
	}
	for _, name := range from {
		oldest, err := d.conn.Text(ctx, "SELECT min(event_timestamp) FROM ONLY "+name)
		if err != nil {
			break
		}
		if oldest != "" {
			report.line("%s takes %s; its oldest row is of %s.", d.table, size, oldest)
			return
		}
	}
	report.line("%s takes %s.", d.table, size)
}

// reporter writes lines and keeps the first error: what was done in the database is done.
type reporter struct {
	w   io.Writer
	err error
}

func (r *reporter) line(format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, format+"\n", args...)
	}
}

// PrintRetention writes to w the SQL by which a person can do what Retain does, with psql. The sinks it cannot ask.
func (d *Database) PrintRetention(ctx context.Context, w io.Writer, r Retention) error {
	if r.Batch <= 0 {
		r.Batch = 5000
	}
	table, err := d.readTable(ctx, r.Keep)
	if err != nil {
		return err
	}
	script, err := d.retentionScript(ctx, r, table)
	if err != nil {
		return err
	}
	var b strings.Builder
	admin.Comment(&b, fmt.Sprintf("pgwitness audit retention: keep the rows of %s %s.", d.table, r.Keep.prose()))
	if len(script) == 0 {
		admin.Comment(&b, "There is nothing to do.")
	} else {
		admin.Comment(&b, "Run it with psql -v ON_ERROR_STOP=1 -f, without --single-transaction: each step is a transaction of its own. Or let the same command "+
			"do it with --apply, which can ask the sinks as well.")
		if table.Cut != nil {
			admin.Comment(&b, fmt.Sprintf("Rows of before %s have expired.", instant(*table.Cut)))
		}
		fmt.Fprintf(&b, "\n%s;\n", admin.SetLockTimeout(d.cfg.LockTimeout))
	}
	for _, step := range script {
		b.WriteByte('\n')
		admin.Comment(&b, step.Why)
		b.WriteString(step.SQL + "\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// retentionScript is what PrintRetention prints, a step a transaction.
func (d *Database) retentionScript(ctx context.Context, r Retention, table *auditTable) ([]Step, error) {
	if table.Kind == "p" {
		return d.partitionScript(ctx, r, table)
	}
	if table.Cut == nil {
		return nil, nil
	}
	return d.rowScript(r, table), nil
}
