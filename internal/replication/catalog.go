package replication

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
)

// target is what the catalog is asked about.
type target struct{ slot, publication, schema, table string }

func (s *Stream) target() target {
	return target{slot: s.cfg.Slot, publication: s.cfg.Publication, schema: s.cfg.Schema, table: s.cfg.Table}
}

func (t target) tableName() string { return t.schema + "." + t.table }

// catalog is what the server says about itself and the target. A nil part does not exist.
type catalog struct {
	Version       int                 `json:"version"`
	WALLevel      string              `json:"wal_level"`
	Standby       bool                `json:"standby"`
	Database      string              `json:"database"`
	SenderTimeout time.Duration       `json:"sender_timeout"` // comes in milliseconds
	WALPosition   *decoder.LSN        `json:"wal_position"`   // nil on a standby
	Table         *catalogTable       `json:"table"`
	Publication   *catalogPublication `json:"publication"`
	Slot          *catalogSlot        `json:"slot"`
	History       []Branch            `json:"-"` // where the timelines before the server's were left
}

type catalogTable struct {
	OID         uint32   `json:"oid"`
	Kind        string   `json:"kind"`
	Persistence string   `json:"persistence"`
	Children    bool     `json:"children"`
	Unlogged    bool     `json:"unlogged"` // it has a partition whose rows never reach the WAL
	Key         []string `json:"key"`
}

type catalogPublication struct {
	OID     uint32 `json:"oid"`
	Insert  bool   `json:"insert"`
	ViaRoot bool   `json:"viaroot"`
	// Published says whether the audit table itself, not only its partitions, is in it.
	Published bool `json:"published"`
	// Member is the table's own entry, nil where it is published by FOR ALL TABLES or with its schema.
	Member *struct {
		OID     uint32          `json:"oid,string"`
		Filter  json.RawMessage `json:"prqual"`
		Columns json.RawMessage `json:"prattrs"`
		// Founding says that the transaction which made the table also put it into the publication, whose options have not
		// changed since: all rows of the table that others wrote were published.
		Founding bool `json:"founding"`
	} `json:"member"`
	// Entries are those of the entries asked for that are still there.
	Entries []struct {
		OID   uint32 `json:"oid"`
		Table uint32 `json:"table"`
	} `json:"entries"`
}

type catalogSlot struct {
	Plugin         string      `json:"plugin"`
	Type           string      `json:"slot_type"`
	Database       string      `json:"database"`
	Temporary      bool        `json:"temporary"`
	Active         bool        `json:"active"`
	ActivePID      uint32      `json:"active_pid"`
	Peer           bool        `json:"peer"` // the consumer that is connected to it is another pgwitness
	RestartLSN     decoder.LSN `json:"restart_lsn"`
	ConfirmedFlush decoder.LSN `json:"confirmed_flush_lsn"`
	WALStatus      string      `json:"wal_status"`
	SafeWALSize    *int64      `json:"safe_wal_size"`
	TwoPhase       bool        `json:"two_phase"`
	// From PostgreSQL 17 on.
	Invalidation  string     `json:"invalidation_reason"`
	InactiveSince *time.Time `json:"inactive_since"`
	Failover      *bool      `json:"failover"`
	Synced        bool       `json:"synced"`
}

// catalogQuery gives one row of one column. to_jsonb of whole rows is what makes it the same for versions that have a
// column and those that do not. The table is looked up by its names because to_regclass takes USAGE on the schema, which
// our role need not have. Its arguments are literals: slot, publication, schema, table, entries.
//
// The row type depends on its table from the statement on that makes the table, and nothing can update that row of
// pg_depend; those of the columns, system columns included, a GRANT updates. VACUUM FREEZE leaves xmin as it is, and so
// does VACUUM FULL. An age that has wrapped around is a negative one: then a table counts as not founding.
const catalogQuery = `SELECT json_build_object(
 'version', current_setting('server_version_num')::int,
 'wal_level', current_setting('wal_level'),
 'standby', pg_is_in_recovery(),
 'database', current_database(),
 'sender_timeout', (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'),
 'wal_position', CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END,
 'table', (SELECT json_build_object('oid', c.oid::bigint, 'kind', c.relkind, 'persistence', c.relpersistence,
    'children', EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid),
    'unlogged', EXISTS (SELECT FROM pg_partition_tree(c.oid) l JOIN pg_class p ON p.oid = l.relid
      WHERE p.relkind = 'f' OR p.relpersistence <> 'p'),
    'key', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
      WHERE i.indrelid = c.oid AND i.indisprimary))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %[3]s AND c.relname = %[4]s),
 'slot', (SELECT to_jsonb(s) || jsonb_build_object('peer', ` + peerSQL + `) FROM pg_replication_slots s WHERE s.slot_name = %[1]s),
 'publication', (SELECT json_build_object('oid', p.oid::bigint, 'insert', p.pubinsert, 'viaroot', p.pubviaroot,
    'published', EXISTS (SELECT FROM pg_publication_tables t
      WHERE t.pubname = p.pubname AND t.schemaname = %[3]s AND t.tablename = %[4]s),
    'member', (SELECT to_jsonb(r) || jsonb_build_object('oid', r.oid::text,
        'founding', age(p.xmin) >= age(r.xmin) AND EXISTS (SELECT FROM pg_depend d
          WHERE d.classid = 'pg_type'::regclass AND d.objid = c.reltype AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid = c.oid AND d.deptype = 'i' AND d.xmin = r.xmin)) FROM pg_publication_rel r
      JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE r.prpubid = p.oid AND n.nspname = %[3]s AND c.relname = %[4]s),
    'entries', (SELECT json_agg(json_build_object('oid', r.oid::bigint, 'table', r.prrelid::bigint)) FROM pg_publication_rel r
      WHERE r.prpubid = p.oid AND r.oid = ANY (%[5]s::oid[])))
    FROM pg_publication p WHERE p.pubname = %[2]s))`

// readCatalog asks for all of it in one query, by the simple protocol; was is what was followed before.
func readCatalog(ctx context.Context, conn *pgconn.PgConn, t target, was identity) (*catalog, error) {
	text, err := queryText(ctx, conn, fmt.Sprintf(catalogQuery, quoteLiteral(t.slot), quoteLiteral(t.publication),
		quoteLiteral(t.schema), quoteLiteral(t.table), quoteLiteral(was.entries())))
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	cat := new(catalog)
	if err := json.Unmarshal([]byte(text), cat); err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	cat.SenderTimeout *= time.Millisecond
	return cat, nil
}

// oldestVersion is the first major release that is supported.
const oldestVersion = 14

// check says what is wrong with the set-up, in the order in which a person would mend it.
func (c *catalog) check(t target) error {
	const apply = ": run `pgwitness init --apply` as an administrator"
	major := c.Version / 10_000
	switch {
	case major < oldestVersion:
		return failf(ErrSetup, "the server is PostgreSQL %d; pgwitness needs %d or later", major, oldestVersion)
	case c.Standby:
		return failf(ErrSetup, "the server is a standby; connect to the primary, or name all hosts in source.dsn")
	case c.WALLevel != "logical":
		return failf(ErrSetup, "wal_level is %s; set wal_level = logical in postgresql.conf and restart the server", c.WALLevel)
	}
	if err := c.checkTable(t); err != nil {
		return err
	}
	if err := c.checkPublication(t, apply); err != nil {
		return err
	}
	return c.checkSlot(t, apply)
}

func (c *catalog) checkTable(t target) error {
	const ordinary, partitioned = "r", "p"
	switch {
	case c.Table == nil:
		return failf(ErrSetup, "table %s does not exist in database %s; name the audit table in source.table", t.tableName(), c.Database)
	case c.Table.Kind != ordinary && c.Table.Kind != partitioned:
		return failf(ErrSetup, "%s is not a table; name the audit table in source.table", t.tableName())
	case c.Table.Persistence != "p":
		return failf(ErrSetup, "%s is unlogged or temporary, so its rows never reach the WAL: ALTER TABLE %s SET LOGGED",
			t.tableName(), t.tableName())
	case c.Table.Unlogged:
		return failf(ErrSetup, "%s has a partition that is unlogged or a foreign table, so its rows never reach the WAL: detach it, "+
			"or make it an ordinary one", t.tableName())
	case c.Table.Kind == ordinary && c.Table.Children:
		return failf(ErrSetup, "%s has children by inheritance, whose rows are not its own in the stream; use declarative "+
			"partitioning", t.tableName())
	}
	return nil
}

func (c *catalog) checkPublication(t target, apply string) error {
	p := c.Publication
	switch {
	case p == nil:
		return failf(ErrSetup, "publication %s does not exist in database %s%s", t.publication, c.Database, apply)
	case c.Table.Kind == "p" && !p.ViaRoot:
		return failf(ErrSetup, "publication %s names the partitions of %s instead of the table: ALTER PUBLICATION %s SET "+
			"(publish_via_partition_root = true)", t.publication, t.tableName(), t.publication)
	case !p.Published:
		return failf(ErrSetup, "publication %s does not contain %s: ALTER PUBLICATION %s ADD TABLE %s",
			t.publication, t.tableName(), t.publication, t.tableName())
	case !p.Insert:
		return failf(ErrSetup, "publication %s does not publish inserts: ALTER PUBLICATION %s SET (publish = 'insert, truncate')",
			t.publication, t.publication)
	case p.Member != nil && (isSet(p.Member.Filter) || isSet(p.Member.Columns)):
		return failf(ErrSetup, "publication %s leaves out rows or columns of %s: take the WHERE clause and the column list away",
			t.publication, t.tableName())
	}
	return nil
}

func (c *catalog) checkSlot(t target, apply string) error {
	s := c.Slot
	switch {
	case s == nil:
		return failf(ErrSetup, "replication slot %s does not exist%s", t.slot, apply)
	case s.Type != "logical" || s.Plugin != "pgoutput":
		return failf(ErrSetup, "slot %s is a %s slot with plugin %q; pgwitness needs a logical one with pgoutput: choose "+
			"another name in source.slot", t.slot, s.Type, s.Plugin)
	case s.Database != c.Database:
		return failf(ErrSetup, "slot %s belongs to database %s, and source.dsn names %s: change source.dsn or source.slot", t.slot, s.Database, c.Database)
	case s.Temporary || s.TwoPhase:
		return failf(ErrSetup, "slot %s is temporary or two-phase; pgwitness needs one that is neither: choose another name in source.slot", t.slot)
	case s.WALStatus == "lost" || s.Invalidation != "":
		why := s.Invalidation
		if why == "" {
			why = "max_slot_wal_keep_size was exceeded"
		}
		return failf(ErrEvidence, "slot %s was invalidated (%s): rows after %s were not delivered and cannot be any more from "+
			"the WAL; drop the slot, run `pgwitness init --apply`, and take what is missing from the table",
			t.slot, why, s.ConfirmedFlush)
	}
	return nil
}

// isSet says whether a column of the catalog is there and not null.
func isSet(column json.RawMessage) bool { return len(column) > 0 && string(column) != "null" }
