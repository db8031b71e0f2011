package setup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// countPatience is Setup.countPatience outside tests. A huge table is not read to the end for a number that a person
// glances at.
const countPatience = 5 * time.Second

// countRows says how many rows are in the table, such as "12 rows are", and why that is not exact, if it is not. It
// does not fail, because nothing but a sentence depends on it.
func (s *Setup) countRows(ctx context.Context) (amount, caveat string) {
	count, err := s.conn.Script(ctx, fmt.Sprintf("SET statement_timeout = '%dms'; SELECT count(*) FROM %s",
		s.countPatience.Milliseconds(), s.catalog.Names.Table))
	if err == nil {
		return rowsAre(count), ""
	}
	why := "counting failed"
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pgErr.Code {
		case codeQueryCanceled:
			why = fmt.Sprintf("counting took longer than %v", s.countPatience)
		case codeInsufficientRights:
			why = fmt.Sprintf("user %s may not read all of it", s.catalog.Admin.Name)
		}
	}
	// -1 stands for a table that was never vacuumed or analysed.
	const query = `WITH RECURSIVE tree AS (
    SELECT $1::text::regclass::oid AS oid UNION ALL SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid)
SELECT CASE WHEN min(reltuples) >= 0 THEN sum(reltuples)::bigint END FROM tree JOIN pg_class c USING (oid) WHERE relkind = 'r'`
	estimate, err := s.conn.Text(ctx, query, []byte(s.catalog.Names.Table))
	if err != nil || estimate == "" {
		return "an unknown number of rows is", why
	}
	return "about " + rowsAre(estimate), "the planner's estimate, since " + why
}

func rowsAre(count string) string {
	if count == "1" {
		return "1 row is"
	}
	return count + " rows are"
}
