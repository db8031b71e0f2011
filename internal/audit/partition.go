package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// partition is one of the audit table's.
type partition struct {
	Name    string `json:"name"` // qualified and quoted
	Schema  string `json:"schema"`
	Bare    string `json:"bare"` // neither
	Owner   string `json:"owner"`
	Kind    string `json:"kind"` // pg_class.relkind
	Default bool   `json:"default"`
	// From and To are its bounds, nil for none.
	From *time.Time `json:"from"`
	To   *time.Time `json:"to"`
	Size int64      `json:"size"` // with indexes and out-of-line values, in bytes
}

// partitionQuery reads them, of c, with their bounds in UTC. One that is being detached is none any more.
const partitionQuery = `SELECT format('%I.%I', s.nspname, l.relname) AS name, s.nspname AS schema, l.relname AS bare,
    pg_get_userbyid(l.relowner) AS owner, l.relkind AS kind, bound = 'DEFAULT' AS "default",
    CASE WHEN ends[1] !~ 'VALUE$|infinity$' THEN ends[1]::timestamptz END AS "from",
    CASE WHEN ends[2] !~ 'VALUE$|infinity$' THEN ends[2]::timestamptz END AS "to",
    CASE l.relkind WHEN 'r' THEN pg_total_relation_size(l.oid) ELSE 0 END AS size
  FROM pg_inherits i JOIN pg_class l ON l.oid = i.inhrelid JOIN pg_namespace s ON s.oid = l.relnamespace
  CROSS JOIN LATERAL (SELECT pg_get_expr(l.relpartbound, l.oid) AS bound OFFSET 0) AS b
  CROSS JOIN LATERAL (SELECT regexp_match(bound, $re$^FOR VALUES FROM \('?([^']*)'?\) TO \('?([^']*)'?\)$$re$) AS ends OFFSET 0) AS e
  WHERE i.inhparent = c.oid AND c.relkind = 'p' AND NOT i.inhdetachpending`

// expired says whether no row of p can be of cut or after.
func (p partition) expired(cut *time.Time) bool {
	return cut != nil && !p.Default && p.To != nil && !p.To.After(*cut)
}

// span is p's range for people.
func (p partition) span() string {
	from, to := "the beginning", "the end of time"
	if p.From != nil {
		from = day(*p.From)
	}
	if p.To != nil {
		to = day(*p.To)
	}
	return from + " to " + to
}

// day is t without the time where that is midnight.
func day(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return instant(t)
}

// retainPartitions makes partitions ahead and drops those that have expired. The two do not depend on one another.
func (d *Database) retainPartitions(ctx context.Context, report *reporter, r Retention, table *auditTable, c *consumers) error {
	ahead := d.lookAhead(ctx, report, r, table)
	dropped := d.dropExpired(ctx, report, r, c)
	return errors.Join(ahead, dropped)
}

// lookAhead empties the default partition, which would forbid a new one whose rows it has, and makes partitions ahead.
func (d *Database) lookAhead(ctx context.Context, report *reporter, r Retention, table *auditTable) error {
	strays, err := d.readStrays(ctx, table)
	if err != nil {
		return err
	}
	if strays != nil {
		if err := d.repairDefault(ctx, report, table, strays); err != nil {
			return err
		}
	}
	if !table.AddPartitions {
		report.line("No partitions were made: %s is not of pgwitness audit install.", d.table)
		return nil
	}
	made, err := d.addPartitions(ctx, r.Ahead)
	if err != nil {
		return err
	}
	if made == "" {
		made = "none was missing"
	}
	report.line("Partitions of this month and %d ahead: %s.", r.Ahead, made)
	now, err := d.readTable(ctx, r.Keep)
	if err != nil {
		return err
	}
	for _, gap := range gaps(now.Partitions) {
		report.line("No partition has %s: rows of then go into the default one, which never expires.", gap.span())
	}
	return nil
}

func addPartitionsSQL(ahead int) string {
	return fmt.Sprintf("SELECT string_agg(name, ', ') FROM pgwitness.add_partitions(%d) AS name;", ahead)
}

func (d *Database) addPartitions(ctx context.Context, ahead int) (made string, err error) {
	err = d.inTransaction(ctx, func() error {
		made, err = d.conn.Script(ctx, addPartitionsSQL(ahead))
		return err
	})
	if err != nil {
		return "", explainRetention("making partitions ahead", err)
	}
	return made, nil
}

// gaps are the ranges between partitions that are sorted by where they begin.
func gaps(partitions []partition) []partition {
	var found []partition
	var end *time.Time
	for _, p := range partitions {
		if p.Default {
			continue
		}
		if end != nil && p.From != nil && p.From.After(*end) {
			found = append(found, partition{From: end, To: p.From})
		}
		end = p.To
	}
	return found
}

// dropExpired drops what has expired, the oldest first, a transaction each. What one consumer has not confirmed of one
// partition, it has not of the next either.
func (d *Database) dropExpired(ctx context.Context, report *reporter, r Retention, c *consumers) error {
	table, err := d.readTable(ctx, r.Keep) // the default partition may have become one that has expired
	if err != nil {
		return err
	}
	dropped := 0
	for _, p := range table.Partitions {
		if !p.expired(table.Cut) {
			continue
		}
		if p.Kind != "r" {
			report.line("%s has expired, but is no ordinary table: it is left to you.", p.Name)
			continue
		}
		if err := d.drop(ctx, report, table, p, c); err != nil {
			return fmt.Errorf("partition %s (%s): %w", p.Name, p.span(), err)
		}
		dropped++
	}
	if dropped == 0 && table.Cut != nil {
		report.line("No partition ends before %s: none was dropped.", instant(*table.Cut))
	}
	return nil
}

// drop drops one partition. Its SHARE lock waits for those who write into it, and keeps new ones out, until the end; of
// everybody else only the last moment asks anything.
func (d *Database) drop(ctx context.Context, report *reporter, table *auditTable, p partition, c *consumers) error {
	var rows string
	var others []string
	err := d.inTransaction(ctx, func() (err error) {
		if _, err = d.conn.Script(ctx, lockPartitionSQL(p)); err != nil {
			return err
		}
		if rows, err = d.conn.Script(ctx, countPartitionSQL(p)); err != nil {
			return err
		}
		if others, err = c.await(ctx); err != nil {
			return err
		}
		_, err = d.conn.Script(ctx, d.dropSQL(table, p))
		return err
	})
	if err != nil {
		return explainRetention("dropping it", err)
	}
	report.line("Dropped %s (%s): %s rows, %s.", p.Name, p.span(), rows, volume(p.Size))
	for _, other := range others {
		report.line("    But %s.", other)
	}
	return nil
}

func lockPartitionSQL(p partition) string {
	return "LOCK TABLE ONLY " + p.Name + " IN SHARE MODE;"
}

func countPartitionSQL(p partition) string {
	return "SELECT set_config('pgwitness.retention_rows', count(*)::text, true) FROM ONLY " + p.Name + ";"
}

// dropSQL takes the lock on the whole table, for which writers wait behind it, before that on the partition: the other way
// round it would wait for somebody who waits for it. The timeout is of all locks together.
func (d *Database) dropSQL(table *auditTable, p partition) string {
	locked := []string{"ONLY " + d.table}
	for _, q := range table.Partitions {
		if q.Default {
			locked = append(locked, "ONLY "+q.Name) // the DROP would lock it too
		}
	}
	locked = append(locked, "ONLY "+p.Name)
	data := fmt.Sprintf("'rows', current_setting('pgwitness.retention_rows')::bigint,\n    'partition', %s, 'from', %s, 'to', %s",
		quoteLiteral(p.Name), bound(p.From), bound(p.To))
	return fmt.Sprintf("SET LOCAL statement_timeout = '%dms';\nLOCK TABLE %s IN ACCESS EXCLUSIVE MODE;\nSET LOCAL statement_timeout = 0;\n%s\n%s\nDROP TABLE %s;",
		d.lockMillis(), strings.Join(locked, ", "), d.announcement(table), d.entry(table, "partition", data), p.Name)
}

func bound(t *time.Time) string {
	if t == nil {
		return "NULL"
	}
	return "'" + instant(*t) + "'"
}

func (d *Database) lockMillis() int64 { return max(1, d.cfg.LockTimeout.Milliseconds()) }

// inTransaction runs f in a transaction that waits neither for locks nor for us for ever. An error of f undoes it.
func (d *Database) inTransaction(ctx context.Context, f func() error) (err error) {
	begin := fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = '%dms'; SET LOCAL idle_in_transaction_session_timeout = 0", d.lockMillis())
	if _, err := d.conn.Script(ctx, begin); err != nil {
		return err
	}
	if err := f(); err != nil {
		_, _ = d.conn.Script(context.WithoutCancel(ctx), "ROLLBACK") // a connection that fails at that rolls back by ending
		return err
	}
	_, err = d.conn.Script(ctx, "COMMIT")
	return err
}

// partitionScript is what retainPartitions does, for a person to run.
func (d *Database) partitionScript(ctx context.Context, r Retention, table *auditTable) ([]Step, error) {
	var script []Step
	transaction := func(why, sql string) {
		script = append(script, Step{Why: why, SQL: "BEGIN;\n" + sql + "\nCOMMIT;"})
	}
	strays, err := d.readStrays(ctx, table)
	if err != nil {
		return nil, err
	}
	if strays != nil {
		home, ok := strays.home(table.Partitions)
		if !ok {
			return nil, d.homeless(strays)
		}
		home.Bare = d.homeName(home)
		transaction(fmt.Sprintf("%s holds %d rows (%s), for which nobody made a partition: it becomes one of their range, %s. Writers wait meanwhile.",
			strays.partition.Name, strays.Rows, volume(strays.size), home.span()), d.lockDefaultSQL(strays)+"\n"+d.repairSQL(table, strays, home))
	}
	if table.AddPartitions {
		script = append(script, Step{Why: fmt.Sprintf("The partitions of this month and of %d ahead. Nobody waits.", r.Ahead), SQL: addPartitionsSQL(r.Ahead)})
	}
	for _, p := range table.Partitions {
		if p.expired(table.Cut) && p.Kind == "r" {
			transaction(fmt.Sprintf("%s (%s, %s) has expired. It is dropped once the slot has confirmed every row of it; the last lock is on the whole "+
				"table, and taken last.", p.Name, p.span(), volume(p.Size)),
				lockPartitionSQL(p)+"\n"+countPartitionSQL(p)+"\n"+awaitSQL(r)+"\n"+d.dropSQL(table, p))
		}
	}
	return script, nil
}

// explainRetention says what it means that doing something failed. Nothing of its transaction stays.
func explainRetention(what string, err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	if pgErr.Code == "57014" { // statement_timeout, here of locks
		return fmt.Errorf("%s: %w; nothing was changed: run it again when the table is less busy, or with a longer --lock-timeout", what, err)
	}
	return explain(Step{Why: what}, err)
}
