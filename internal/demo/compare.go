package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"pgwitness/decoder"
)

// comparison is what the file holds against what the table holds.
type comparison struct {
	committed    int // rows in the table
	delivered    int // events in the file
	transactions int // that they came in
	invented     int // events that are of no row in the table
	duplicates   int // events that were there before
	disordered   int // events that come too late
	tampered     int // events that tell of a change to the audit table itself
	retained     int // events that tell of expired rows, and that it was announced
	incomplete   int // events that tell of a DELETE, and not of what was deleted

	seen map[string]bool // for each row of the table by its event's id: whether there was an event
	last decoder.Position
	rows map[string]int64 // the last row of each user
}

func newComparison() *comparison {
	return &comparison{seen: map[string]bool{}, rows: map[string]int64{}}
}

// lost is how many rows of the table no event told of.
func (c *comparison) lost() int {
	lost := 0
	for _, seen := range c.seen {
		if !seen {
			lost++
		}
	}
	return lost
}

func (c *comparison) same() bool {
	return c.lost()+c.invented+c.duplicates+c.disordered == 0
}

// row adds a row of the table.
func (c *comparison) row(id string) {
	c.committed++
	c.seen[id] = false
}

// event is an event in the native format, as far as it is compared.
type event struct {
	decoder.Position
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	Incomplete bool   `json:"incomplete"`
	Row        struct {
		ID       int64  `json:"id"`
		UserName string `json:"user_name"`
	} `json:"row"`
}

// lines adds lines of the file, once all rows are known. Each user of the shop has one connection, so the order of its
// rows' numbers is the order in which they were committed: that does not rest on what pgwitness says of the order.
func (c *comparison) lines(lines []byte) error {
	for line := range bytes.Lines(lines) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the consumer's file holds a line that is no event: %w", err)
		}
		switch e.Kind {
		case decoder.KindTamper.String():
			c.tampered++
			continue
		case decoder.KindRetention.String():
			c.retained++
			continue
		}
		if e.Incomplete {
			c.incomplete++
		}
		c.delivered++
		seen, known := c.seen[e.ID]
		switch {
		case !known:
			c.invented++
			continue
		case seen:
			c.duplicates++
			continue
		}
		c.seen[e.ID] = true
		if e.LSN != c.last.LSN {
			c.transactions++
		}
		if e.Compare(c.last) <= 0 || e.Row.ID <= c.rows[e.Row.UserName] {
			c.disordered++
		}
		c.last, c.rows[e.Row.UserName] = e.Position, e.Row.ID
	}
	return nil
}

// expectedIDs works out in SQL, by nothing of pgwitness's own, the id that the event of each row must have: the key, and
// 8 bytes of the SHA-256 over the columns that are not null, sorted by name, name and text each after its length in 4 bytes.
const expectedIDs = `
SELECT log.id || '-' || encode(substr(sha256(string_agg(
	int4send(octet_length(col.name)) || convert_to(col.name, 'UTF8') ||
	int4send(octet_length(col.value)) || convert_to(col.value, 'UTF8'), '' ORDER BY col.name COLLATE "C")), 1, 8), 'hex')
FROM public.custom_audit_log AS log, LATERAL (VALUES
	('id', log.id::text), ('event_type', log.event_type::text), ('event_timestamp', log.event_timestamp::text),
	('user_name', log.user_name::text), ('table_name', log.table_name::text), ('row_data', log.row_data::text)
) AS col (name, value)
WHERE col.value IS NOT NULL
GROUP BY log.id`

// compare compares the file at path with the table, row by row. conn must have the pinned settings.
func compare(ctx context.Context, conn *pgx.Conn, path string) (*comparison, error) {
	c := newComparison()
	rows, err := conn.Query(ctx, expectedIDs)
	if err != nil {
		return nil, fmt.Errorf("read the audit table: %w", err)
	}
	var id string
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		c.row(id)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the audit table: %w", err)
	}
	file := tail{path: path}
	defer file.close()
	for {
		lines, err := file.next()
		if err == nil {
			err = c.lines(lines)
		}
		if err != nil || len(lines) == 0 {
			return c, err
		}
	}
}
