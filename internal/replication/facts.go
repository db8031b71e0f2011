package replication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
)

// facts are what is measured at each look. Unlike the catalog they lock no table, so an ALTER TABLE that takes an hour leaves
// the slot in sight.
type facts struct {
	Clock       float64      `json:"clock"` // Unix time
	Timeline    int32        `json:"timeline"`
	WALPosition *decoder.LSN `json:"wal_position"` // nil on a standby
	Slot        *catalogSlot `json:"slot"`
	Spilled     *struct {
		Transactions int64 `json:"transactions"`
		Bytes        int64 `json:"bytes"`
	} `json:"spilled"`
}

// factsQuery takes the timeline from a file's name, since that of pg_control is the last checkpoint's. Its argument is the
// slot's name as a literal.
const factsQuery = `SELECT to_jsonb(f) FROM (SELECT extract(epoch FROM clock_timestamp()) AS clock,
 CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END AS wal_position,
 CASE WHEN NOT pg_is_in_recovery() THEN ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int END AS timeline,
 (SELECT to_jsonb(s) FROM pg_replication_slots s WHERE s.slot_name = %[1]s) AS slot,
 (SELECT json_build_object('transactions', s.spill_txns, 'bytes', s.spill_bytes)
   FROM pg_stat_replication_slots s WHERE s.slot_name = %[1]s) AS spilled) AS f`

// readFacts also returns the server's clock minus ours.
func readFacts(ctx context.Context, conn *pgconn.PgConn, slot string) (f facts, offset time.Duration, err error) {
	asked := time.Now()
	text, err := queryText(ctx, conn, fmt.Sprintf(factsQuery, quoteLiteral(slot)))
	if err != nil {
		return facts{}, 0, fmt.Errorf("reading the slot: %w", err)
	}
	middle := asked.Add(time.Since(asked) / 2)
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return facts{}, 0, fmt.Errorf("reading the slot: %w", err)
	}
	return f, time.UnixMicro(int64(f.Clock * 1e6)).Sub(middle), nil
}

// state is what f says of the slot; it has one, and a position.
func (f facts) state() SlotState {
	s, position := f.Slot, *f.WALPosition
	state := SlotState{
		Active: s.Active, WALStatus: s.WALStatus, SafeWAL: s.SafeWALSize,
		ConfirmedLag:  max(0, int64(position-s.ConfirmedFlush)),
		InactiveSince: s.InactiveSince, Failover: s.Failover,
		Position: position, At: time.Now(),
	}
	if s.RestartLSN != 0 { // a lost slot retains nothing
		state.RetainedWAL = max(0, int64(position-s.RestartLSN))
	}
	if f.Spilled != nil {
		state.SpilledTransactions, state.SpilledBytes = f.Spilled.Transactions, f.Spilled.Bytes
	}
	return state
}

const (
	// tableEvery is how often the audit table is measured: it changes slowly, and each partition costs the server a few
	// calls of stat.
	tableEvery = time.Minute
	// tableLimit bounds what we ask about the table: many partitions, or an index whose first pages are full of dead rows.
	tableLimit = "SET LOCAL statement_timeout = '1s'; "
)

// tableQuery gives the table's size, for which nobody needs a right on it, and how its oldest row is found: the columns of
// its primary key, none where that would take a right that we do not have, or a scan. Its arguments are literals: schema, table.
const tableQuery = tableLimit + `SELECT to_jsonb(f) FROM (SELECT
 (SELECT sum(pg_total_relation_size(relid))::bigint FROM (SELECT c.oid AS relid UNION SELECT relid FROM pg_partition_tree(c.oid)) AS tree) AS bytes,
 (SELECT array_agg(quote_ident(a.attname) ORDER BY k.place) FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
   JOIN pg_attribute a ON a.attnum = k.attnum
   WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND k.place <= i.indnkeyatts
     AND NOT c.relrowsecurity AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
     AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'event_timestamp'
       AND t.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype))) AS key
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s) AS f`

// oldestQuery gives the row with the lowest key by the key's index, in each partition, or is cut off. A scalar subquery has a
// row when the table has none.
const oldestQuery = tableLimit + `SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
SELECT (SELECT extract(epoch FROM event_timestamp) FROM %s ORDER BY %s LIMIT 1)`

// readTable measures the audit table. What the server refuses, be it a lock or a right, is nil and no error.
func readTable(ctx context.Context, conn *pgconn.PgConn, t target) (*TableState, error) {
	text, err := queryText(ctx, conn, fmt.Sprintf(tableQuery, quoteLiteral(t.schema), quoteLiteral(t.table)))
	if refused(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("measuring the audit table: %w", err)
	}
	var found struct {
		Bytes int64    `json:"bytes"`
		Key   []string `json:"key"`
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return nil, fmt.Errorf("measuring the audit table: %w", err)
	}
	state := &TableState{Bytes: found.Bytes}
	if len(found.Key) == 0 {
		return state, nil
	}
	text, err = queryText(ctx, conn, fmt.Sprintf(oldestQuery, quoteIdent(t.schema)+"."+quoteIdent(t.table), strings.Join(found.Key, ", ")))
	if err != nil && !refused(err) {
		return nil, fmt.Errorf("reading the audit table's oldest row: %w", err)
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(seconds, 0) { // a timestamp can be infinite
		oldest := time.UnixMicro(int64(seconds * 1e6))
		state.Oldest = &oldest
	}
	return state, nil
}

// refused says whether the server answered, and that is all.
func refused(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	return answered && !stopped(err) || errors.Is(err, errNoRow)
}
