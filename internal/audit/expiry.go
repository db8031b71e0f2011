package audit

import (
	"context"
	"fmt"
	"strings"

	"pgwitness/internal/admin"
)

// retainRows deletes expired rows from a table without partitions. Which ones is decided in one look, by a snapshot that
// is held until the end: all that it sees was committed before the position that the consumers are then asked for. Rows
// are known by where they are stored, which a held snapshot keeps from being used again: the table may have no key.
func (d *Database) retainRows(ctx context.Context, report *reporter, r Retention, table *auditTable, c *consumers) error {
	if table.Cut == nil {
		report.line("Rows of %s are kept for ever, and it has no partitions: there is nothing to do.", d.table)
		return nil
	}
	look := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0;\n" + d.expiredSQL(table, "")
	if _, err := d.conn.Script(ctx, look); err != nil {
		return explainRetention("looking for expired rows", err)
	}
	defer func() {
		_, _ = d.conn.Script(context.WithoutCancel(ctx), "ROLLBACK") // a connection that fails at that rolls back by ending
	}()
	places, err := d.fetch(ctx, r.Batch)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		report.line("No row of %s is older than %s: none was deleted.", d.table, table.cutProse())
		return nil
	}
	others, err := c.await(ctx)
	if err != nil {
		return err
	}
	e := expiry{database: d, table: table, conn: c.conn}
	for err == nil && len(places) > 0 && ctx.Err() == nil {
		if err = e.delete(ctx, places); err == nil {
			places, err = d.fetch(ctx, r.Batch)
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	if e.rows == 0 {
		return err
	}
	// What was deleted is written down even if the rest failed, or we were asked to stop.
	if noted := e.note(ctx); err == nil {
		err = noted
	}
	report.line("Deleted %d rows of before %s from %s, in %d transactions.", e.rows, table.cutProse(), d.table, e.batches)
	for _, other := range others {
		report.line("    But %s.", other)
	}
	const many = 10_000
	if e.rows >= many {
		report.line("    Their room is used again once autovacuum has been there; VACUUM %s does it now.", d.table)
	}
	return err
}

// cutProse is the cut for people.
func (t *auditTable) cutProse() string {
	if t.zoned() {
		return instant(*t.Cut)
	}
	return strings.Trim(t.cut(), "'") + " (a day earlier than asked for: its times have no zone)"
}

// expiredSQL declares the cursor of where the expired rows are. Without a date a row does not expire.
func (d *Database) expiredSQL(table *auditTable, hold string) string {
	return fmt.Sprintf("DECLARE expired NO SCROLL CURSOR %sFOR SELECT ctid AS place FROM ONLY %s WHERE event_timestamp < %s;", hold, d.table, table.cut())
}

// fetch returns where the next rows are.
func (d *Database) fetch(ctx context.Context, n int) ([]string, error) {
	result := d.conn.ExecParams(ctx, fmt.Sprintf("FETCH %d FROM expired", n), nil, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("looking for expired rows: %w", result.Err)
	}
	places := make([]string, len(result.Rows))
	for i, row := range result.Rows {
		places[i] = string(row[0])
	}
	return places, nil
}

// expiry deletes rows, on a connection other than that of the look.
type expiry struct {
	database *Database
	table    *auditTable
	conn     *admin.Conn
	rows     int64
	batches  int
}

// delete deletes the rows at places in a transaction of its own. It is short, and not interrupted: an interruption would cost
// the connection on which it is to be written down.
func (e *expiry) delete(ctx context.Context, places []string) error {
	ctx = context.WithoutCancel(ctx)
	begin := fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = '%dms'; SET LOCAL pgwitness.retention = 'on';\n%s", e.database.lockMillis(),
		e.database.announcement(e.table))
	if _, err := e.conn.Script(ctx, begin); err != nil {
		return err
	}
	list := `{"` + strings.Join(places, `","`) + `"}`
	result := e.conn.ExecParams(ctx, e.database.deleteSQL(e.table, "$1::tid[]"), [][]byte{[]byte(list)}, nil, nil, nil).Read()
	err := result.Err
	if err == nil {
		_, err = e.conn.Script(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = e.conn.Script(ctx, "ROLLBACK") // a connection that fails at that rolls back by ending
		return explainRetention("deleting a batch of rows", err)
	}
	e.rows += result.CommandTag.RowsAffected()
	e.batches++
	return nil
}

// deleteSQL looks at the date once more: a row may have been changed since.
func (d *Database) deleteSQL(table *auditTable, places string) string {
	return fmt.Sprintf("DELETE FROM ONLY %s WHERE ctid = ANY (%s) AND event_timestamp < %s", d.table, places, table.cut())
}

// note writes down what was deleted.
func (e *expiry) note(ctx context.Context) error {
	sql := e.database.entry(e.table, "rows", fmt.Sprintf("'rows', %d", e.rows))
	if _, err := e.conn.Script(context.WithoutCancel(ctx), sql); err != nil {
		return explainRetention(fmt.Sprintf("writing down that %d rows were deleted", e.rows), err)
	}
	return nil
}

// rowScript is what retainRows does, for a person to run. A held cursor is filled when it is declared, so that the rows
// come from one look here too.
func (d *Database) rowScript(r Retention, table *auditTable) []Step {
	loop := fmt.Sprintf(`DO $pgwitness$
DECLARE
    expired refcursor := 'expired';
    place   tid;
    places  tid[];
    deleted bigint;
    total   bigint := 0;
BEGIN
    LOOP
        places := '{}';
        FOR i IN 1 .. %d LOOP
            FETCH expired INTO place;
            EXIT WHEN NOT FOUND;
            places := places || place;
        END LOOP;
        EXIT WHEN cardinality(places) = 0;
        PERFORM set_config('pgwitness.retention', 'on', true);
        PERFORM %s
        %s;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        total := total + deleted;
        COMMIT;
    END LOOP;
    IF total > 0 THEN
        %s
    END IF;
    RAISE NOTICE '%% rows were deleted', total;
END
$pgwitness$;`, r.Batch, strings.TrimPrefix(d.announcement(table), "SELECT "), d.deleteSQL(table, "places"),
		strings.ReplaceAll(d.entry(table, "rows", "'rows', total"), "\n", "\n        "))
	return []Step{
		{Why: fmt.Sprintf("Where the rows of before %s are. It reads the whole table once.", table.cutProse()), SQL: d.expiredSQL(table, "WITH HOLD ")},
		{Why: "Wait until the slot has confirmed them.", SQL: awaitSQL(r)},
		{Why: fmt.Sprintf("Delete them, %d a transaction, each of which says to the stream that it is retention; and write down how many.", r.Batch), SQL: loop},
		{Why: "That is all.", SQL: "CLOSE expired;"},
	}
}
