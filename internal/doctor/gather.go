package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/admin"
	"pgwitness/internal/audit"
	"pgwitness/internal/setup"
)

const strandedMost = 1000

// gather reads the facts. What cannot be read is absent; an error is of the connection, or of what every role may read.
func gather(ctx context.Context, conn *admin.Conn, cfg Config) (*facts, error) {
	f := &facts{cfg: cfg, now: time.Now(), absent: map[part]finding{}, server: new(server)}
	if err := conn.JSON(ctx, f.server, serverQuery, []byte(cfg.Slot)); err != nil {
		return nil, fmt.Errorf("asking the server about itself: %w", err)
	}
	var err error
	f.setup, err = setup.Examine(ctx, conn, setup.Config{
		Schema: cfg.Schema, Table: cfg.Table, Slot: cfg.Slot, Publication: cfg.Publication, Role: f.role(),
	})
	if err != nil {
		return nil, err
	}
	if f.server.Slot == nil || f.setup.Slot != nil && !f.lost() {
		f.absent[slotPart] = skipped("there is no slot %s that could be used", cfg.Slot)
	}
	if err := f.read(ctx, conn, tablePart, &f.table, tableQuery, cfg.Schema, cfg.Table); err != nil {
		return nil, err
	}
	if err := f.read(ctx, conn, powerPart, &f.power, powerQuery); err != nil {
		return nil, err
	}
	const parameters = 15 // the first version with rights on settings
	f.absent[setterPart] = skipped("none but superusers can be given that right before PostgreSQL %d", parameters)
	if f.setup.Major >= parameters {
		delete(f.absent, setterPart)
		if err := f.read(ctx, conn, setterPart, &f.setters, settersQuery); err != nil {
			return nil, err
		}
	}
	if f.table == nil {
		none := skipped("there is no table %s.%s", cfg.Schema, cfg.Table)
		for _, p := range []part{tablePart, publicPart, triggerPart, rowPart, retentionPart, coveragePart} {
			if _, told := f.absent[p]; !told {
				f.absent[p] = none
			}
		}
		return f, nil
	}
	if f.setup.Publishes == nil {
		f.absent[publicPart] = skipped("there is no publication %s", cfg.Publication)
	}
	if err := f.readFunctions(ctx, conn); err != nil {
		return nil, err
	}
	if err := f.readRows(ctx, conn); err != nil {
		return nil, err
	}
	f.readCoverage(ctx)
	return f, nil
}

// role is the one that streams, or will.
func (f *facts) role() string {
	switch {
	case f.cfg.Role != "":
		return f.cfg.Role
	case f.server.Slot != nil && f.server.Slot.Consumer != "":
		return f.server.Slot.Consumer
	case f.server.Replicates && !f.server.Superuser:
		return f.server.User
	}
	return "pgwitness"
}

func (f *facts) lost() bool {
	s := f.server.Slot
	return s != nil && (s.WALStatus == "lost" || s.Invalidation != "")
}

// read reads a part, which is absent if the role may not read it or if that would take too long.
func (f *facts) read(ctx context.Context, conn *admin.Conn, p part, target any, sql string, args ...string) error {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	text, err := conn.Text(ctx, sql, values...)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		if pgErr.Code[:2] == "08" || pgErr.Code[:3] == "57P" {
			return err // the connection is lost
		}
		f.absent[p] = unknown("", "the server would not tell: %s", pgErr.Message)
		const insufficientRights, cancelled = "42501", "57014"
		switch pgErr.Code {
		case insufficientRights:
			f.absent[p] = unknown(asAdministrator, "role %s may not read it: %s", f.server.User, pgErr.Message)
		case cancelled:
			f.absent[p] = unknown("", "it would have taken longer than %s", statementTimeout)
		}
		return nil
	}
	if err != nil || text == "" {
		return err
	}
	return json.Unmarshal([]byte(text), target)
}

const asAdministrator = "run pgwitness doctor as a superuser, or as a role that may read it"

// readFunctions reads which functions write the table, by their source.
func (f *facts) readFunctions(ctx context.Context, conn *admin.Conn) error {
	var named []function
	if err := f.read(ctx, conn, triggerPart, &named, captureQuery, f.cfg.Table); err != nil {
		return err
	}
	writes := regexp.MustCompile(`(?i)\binsert\s+into\s+("?` + regexp.QuoteMeta(f.cfg.Schema) + `"?\s*\.\s*)?"?` +
		regexp.QuoteMeta(f.cfg.Table) + `"?(\W|$)`)
	for _, fn := range named {
		fn.code = withoutComments(fn.Source)
		if match := writes.FindStringSubmatch(fn.code); match != nil {
			fn.qualified = match[1] != ""
			f.functions = append(f.functions, fn)
		}
	}
	if _, absent := f.absent[triggerPart]; !absent && len(f.capturing()) == 0 {
		f.absent[triggerPart] = skipped("no trigger is known that writes %s", f.table.Name)
	}
	return nil
}

// readRows reads the first and the last row, by the primary key, which costs next to nothing however large the table is.
func (f *facts) readRows(ctx context.Context, conn *admin.Conn) error {
	when := f.table.column("event_timestamp")
	switch {
	case !f.table.Readable:
		f.absent[rowPart] = unknown(asAdministrator, "role %s may not read all of %s", f.server.User, f.table.Name)
	case when == nil || !strings.HasPrefix(when.Type, "timestamp"):
		f.absent[rowPart] = skipped("%s has no column event_timestamp with a time", f.table.Name)
	case len(f.table.Key) == 0:
		f.absent[rowPart] = unknown("", "%s has no primary key, by which its first and last row could be found", f.table.Name)
	}
	if absent, is := f.absent[rowPart]; is {
		f.absent[retentionPart] = absent
		return nil
	}
	key := f.table.column(f.table.Key[0])
	id := "NULL"
	if slices.Contains([]string{"bigint", "integer", "smallint"}, key.Type) {
		id = key.Quoted
	}
	stranded := "0"
	for _, r := range f.table.Relations {
		if r.Default && r.HeapBytes > 0 {
			stranded = fmt.Sprintf("(SELECT count(*) FROM (SELECT FROM %s LIMIT %d) d)", r.Name, strandedMost)
		}
	}
	query := fmt.Sprintf(`WITH edge AS (
    SELECT true AS first, e.* FROM (SELECT %[1]s AS at, %[2]s AS id FROM %[4]s ORDER BY %[3]s LIMIT 1) e
    UNION ALL
    SELECT false, e.* FROM (SELECT %[1]s, %[2]s FROM %[4]s ORDER BY %[3]s DESC LIMIT 1) e
)
SELECT json_build_object(
    'oldest', (SELECT extract(epoch FROM current_timestamp - at) FROM edge WHERE first),
    'newest', (SELECT extract(epoch FROM current_timestamp - at) FROM edge WHERE NOT first),
    'first_id', (SELECT id FROM edge WHERE first), 'last_id', (SELECT id FROM edge WHERE NOT first),
    'stranded', %[5]s)`, when.Quoted, id, key.Quoted, f.table.Name, stranded)
	if err := f.read(ctx, conn, rowPart, &f.rows, query); err != nil {
		return err
	}
	if f.table.column("event_type") == nil {
		f.absent[retentionPart] = skipped("%s has no column event_type", f.table.Name)
		return nil
	}
	// It scans what is not partitioned: within statement_timeout, or not at all.
	query = fmt.Sprintf(`SELECT to_json(EXISTS (SELECT FROM %s WHERE event_type = 'RETENTION'
    AND %s > current_timestamp - interval '62 days'))`, f.table.Name, when.Quoted)
	return f.read(ctx, conn, retentionPart, &f.retention, query)
}

// readCoverage has package audit look at the tables, on a connection of its own that only reads as well.
func (f *facts) readCoverage(ctx context.Context) {
	if f.setup.Standby {
		f.absent[coveragePart] = unknown("", "a standby is not asked for what is attached")
		return
	}
	const patience = 15 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cfg := f.cfg.ConnConfig.Copy()
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	database, err := audit.Open(ctx, audit.Config{ConnConfig: cfg, Schema: f.cfg.Schema, Table: f.cfg.Table})
	if err == nil {
		defer database.Close()
		f.coverage, err = database.Coverage(ctx)
	}
	if err != nil {
		f.absent[coveragePart] = unknown(f.command("audit coverage"), "it could not be found out: %v", err)
	}
}
