package audit

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
)

// strays are the rows of the default partition.
type strays struct {
	partition partition
	Rows      int64      `json:"rows"`
	First     *time.Time `json:"first"`
	Last      *time.Time `json:"last"`
	// Endless is whether some are of infinity, which no partition has.
	Endless bool `json:"endless"`
	size    int64
}

// readStrays returns nil where there is no default partition or nothing in it.
func (d *Database) readStrays(ctx context.Context, table *auditTable) (*strays, error) {
	for _, p := range table.Partitions {
		if !p.Default || p.Kind != "r" {
			continue
		}
		found := &strays{partition: p, size: p.Size}
		if err := d.countStrays(ctx, table, found); err != nil {
			return nil, fmt.Errorf("reading %s: %w", p.Name, err)
		}
		if found.Rows > 0 {
			return found, nil
		}
	}
	return nil, nil
}

// countStrays counts them. Zone-less times are read as those of UTC, as the partitions' bounds are.
func (d *Database) countStrays(ctx context.Context, table *auditTable, s *strays) error {
	zone := ""
	if table.zoned() {
		zone = " AT TIME ZONE 'UTC'"
	}
	return d.conn.JSON(ctx, s, fmt.Sprintf(`SELECT json_build_object('rows', count(*),
		'first', to_char(min(event_timestamp) FILTER (WHERE isfinite(event_timestamp))%[1]s, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
		'last', to_char(max(event_timestamp) FILTER (WHERE isfinite(event_timestamp))%[1]s, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
		'endless', count(*) > count(*) FILTER (WHERE isfinite(event_timestamp))) FROM ONLY %[2]s`, zone, s.partition.Name))
}

// home is the range that a partition with all strays can have: whole months, but for those that other partitions have a
// part of. It is false where another partition lies between the strays.
func (s *strays) home(others []partition) (partition, bool) {
	if s.Endless || s.First == nil {
		return partition{}, false
	}
	first, last := s.First.UTC(), s.Last.UTC()
	from := time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, time.UTC)
	to := time.Date(last.Year(), last.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	for _, p := range others {
		switch {
		case p.Default:
		case p.To != nil && !p.To.After(first):
			if p.To.After(from) {
				from = *p.To
			}
		case p.From != nil && p.From.After(last):
			if p.From.Before(to) {
				to = *p.From
			}
		default:
			return partition{}, false
		}
	}
	return partition{Schema: s.partition.Schema, From: &from, To: &to}, true
}

// repairDefault makes the default partition, with the rows that are in it, one of their own range, and makes another
// default one. No row is written or moved: each stays what it was, evidence that was delivered.
func (d *Database) repairDefault(ctx context.Context, report *reporter, table *auditTable, s *strays) error {
	var home partition
	err := d.inTransaction(ctx, func() error {
		if _, err := d.conn.Script(ctx, d.lockDefaultSQL(s)); err != nil {
			return err
		}
		if err := d.countStrays(ctx, table, s); err != nil { // more may have come
			return err
		}
		var ok bool
		if home, ok = s.home(table.Partitions); !ok {
			return d.homeless(s)
		}
		home.Bare = d.homeName(home)
		_, err := d.conn.Script(ctx, d.repairSQL(table, s, home))
		return err
	})
	if err != nil {
		return explainRetention("giving the rows of "+s.partition.Name+" a partition of their own", err)
	}
	report.line("%s held %d rows, for which nobody had made a partition: it is now the partition %s (%s), and there is a new default one.",
		s.partition.Name, s.Rows, home.Bare, home.span())
	return nil
}

func (d *Database) homeless(s *strays) error {
	if s.Endless {
		return admin.Refuse(replication.ErrSetup, "%s holds %d rows, some of which have an endless event_timestamp or none: give them a date, or leave them; "+
			"they never expire", s.partition.Name, s.Rows)
	}
	return admin.Refuse(replication.ErrSetup, "%s holds %d rows of %s to %s, and there are partitions between them, so that it cannot become one of that "+
		"range: move the rows by hand", s.partition.Name, s.Rows, instant(*s.First), instant(*s.Last))
}

// lockDefaultSQL also bounds the time for which writers wait: until strays are counted, and checked, is one statement each.
func (d *Database) lockDefaultSQL(s *strays) string {
	return fmt.Sprintf("SET LOCAL statement_timeout = '%dms';\nLOCK TABLE ONLY %s, ONLY %s IN ACCESS EXCLUSIVE MODE;", d.lockMillis(), d.table, s.partition.Name)
}

// homeName is the bare name of the partition that the strays get.
func (d *Database) homeName(home partition) string {
	suffix := "_" + home.From.Format("2006_01")
	if next := home.From.AddDate(0, 1, 0); home.To.After(next) {
		suffix += "_to_" + home.To.Add(-1).Format("2006_01")
	}
	suffix += "_from_default"
	stem := d.cfg.Table
	const longest = 63 // PostgreSQL cuts longer names
	for len(stem)+len(suffix) > longest {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	return stem + suffix
}

func (d *Database) repairSQL(table *auditTable, s *strays, home partition) string {
	statements := []string{
		fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s;", d.table, s.partition.Name),
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s;", s.partition.Name, quoteIdent(home.Bare)),
		fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s.%s FOR VALUES FROM ('%s') TO ('%s');", d.table, quoteIdent(home.Schema), quoteIdent(home.Bare),
			instant(*home.From), instant(*home.To)),
		fmt.Sprintf("CREATE TABLE %s PARTITION OF %s DEFAULT;", s.partition.Name, d.table),
		fmt.Sprintf("ALTER TABLE %s OWNER TO %s;", s.partition.Name, quoteIdent(s.partition.Owner)),
	}
	if table.Guard {
		statements = append(statements, fmt.Sprintf("SELECT pgwitness.guard(%s);", quoteLiteral(s.partition.Name)))
	}
	return strings.Join(append(statements, "SET LOCAL statement_timeout = 0;"), "\n")
}
