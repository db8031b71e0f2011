package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// writer is one connection that changes the audited table, or writes into the audit table, until it is told to stop.
type writer struct {
	dsn    string
	name   string // no two writers of a campaign have the same
	random *rand.Rand
	// full says whether the consumer is so far behind that it needs a rest.
	full func() bool

	conn         *pgx.Conn
	number       int
	transactions int
	prepared     []string // the identifiers of transactions that are neither committed nor rolled back yet
}

// run works until ctx is done. What a fault does to its transactions does not matter to it: the server knows which of them
// were committed.
func (w *writer) run(ctx context.Context) error {
	working := context.WithoutCancel(ctx) // a statement that was called off might still be running when the end is looked at
	defer func() {
		if w.conn != nil {
			_ = w.conn.Close(working)
		}
	}()
	for ctx.Err() == nil {
		if w.full() {
			pause(ctx, 50*time.Millisecond)
			continue
		}
		err := w.step(working)
		if err == nil {
			continue
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code[:2] != "57" { // operator intervention
			return fmt.Errorf("writer %s: %w", w.name, err)
		}
		if w.conn != nil {
			_ = w.conn.Close(working) // broken
			w.conn = nil
		}
		pause(ctx, 50*time.Millisecond)
	}
	return nil
}

func (w *writer) step(ctx context.Context) error {
	if w.conn == nil {
		conn, err := pgx.Connect(ctx, w.dsn)
		if err != nil {
			return err
		}
		w.conn = conn
	}
	w.transactions++
	switch lot := w.random.IntN(100); {
	case lot < 25:
		return w.change(ctx)
	case lot < 50:
		return w.transaction(ctx, "COMMIT")
	case lot < 58:
		return w.transaction(ctx, "ROLLBACK")
	case lot < 70:
		return w.savepoints(ctx)
	case lot < 78:
		return w.prepare(ctx)
	case lot < 84:
		return w.finishPrepared(ctx)
	case lot < 90:
		return w.empty(ctx)
	case lot < 94:
		return w.copyAudited(ctx)
	case lot < 97:
		return w.large(ctx)
	}
	return w.copyAudit(ctx, 1+w.random.IntN(300))
}

// label is the next value of column_name: it ends up in row_data and gives the order away.
func (w *writer) label() string {
	w.number++
	return fmt.Sprintf("%s-%d", w.name, w.number)
}

func (w *writer) exec(ctx context.Context, sql string, args ...any) error {
	_, err := w.conn.Exec(ctx, sql, args...)
	return err
}

// change is one statement that fires the trigger for one row, or for several.
func (w *writer) change(ctx context.Context) error {
	switch w.random.IntN(4) {
	case 0:
		return w.exec(ctx, "UPDATE your_table SET column_name = $1 WHERE id = (SELECT max(id) FROM your_table WHERE column_name LIKE $2)",
			w.label(), w.name+"-%")
	case 1:
		return w.exec(ctx, "DELETE FROM your_table WHERE id = (SELECT min(id) FROM your_table WHERE column_name LIKE $1)", w.name+"-%")
	}
	return w.exec(ctx, "INSERT INTO your_table (column_name) VALUES ($1)", w.label())
}

func (w *writer) changes(ctx context.Context) error {
	for range 1 + w.random.IntN(5) {
		if err := w.change(ctx); err != nil {
			return err
		}
		if w.random.IntN(3) == 0 { // so that transactions of other connections come between
			pause(ctx, time.Duration(w.random.IntN(10))*time.Millisecond)
		}
	}
	return nil
}

func (w *writer) transaction(ctx context.Context, end string) error {
	if err := w.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if err := w.changes(ctx); err != nil {
		return err
	}
	return w.exec(ctx, end)
}

// savepoints rolls a part of a transaction back, and a part of that part before.
func (w *writer) savepoints(ctx context.Context) error {
	for _, sql := range []string{
		"BEGIN", "", "SAVEPOINT a", "", "SAVEPOINT b", "", "ROLLBACK TO b", "", "RELEASE b", "ROLLBACK TO a", "", "SAVEPOINT c", "", "COMMIT",
	} {
		var err error
		if sql == "" {
			err = w.changes(ctx)
		} else {
			err = w.exec(ctx, sql)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// prepare leaves a transaction prepared. It is committed later than what this connection does next, so its rows have
// another label.
func (w *writer) prepare(ctx context.Context) error {
	if len(w.prepared) >= 2 {
		return w.finishPrepared(ctx)
	}
	id := fmt.Sprintf("%sp%d", w.name, w.transactions)
	for _, sql := range []string{
		"BEGIN",
		fmt.Sprintf("INSERT INTO your_table (column_name) SELECT '%s-' || n FROM generate_series(1, %d) n", id, 1+w.random.IntN(4)),
		fmt.Sprintf("PREPARE TRANSACTION '%s'", id),
	} {
		if err := w.exec(ctx, sql); err != nil {
			return err
		}
	}
	w.prepared = append(w.prepared, id)
	return nil
}

func (w *writer) finishPrepared(ctx context.Context) error {
	if len(w.prepared) == 0 {
		return nil
	}
	id := w.prepared[0]
	w.prepared = w.prepared[1:]
	return w.exec(ctx, finishPrepared(w.random)+" PREPARED '"+id+"'")
}

func finishPrepared(random *rand.Rand) string {
	if random.IntN(3) == 0 {
		return "ROLLBACK"
	}
	return "COMMIT"
}

// empty is a transaction with nothing for us in it.
func (w *writer) empty(ctx context.Context) error {
	return w.exec(ctx, []string{
		"SELECT pg_current_xact_id()",
		"INSERT INTO unpublished (text) SELECT repeat('x', 100) FROM generate_series(1, 500)",
		"BEGIN; SAVEPOINT a; INSERT INTO your_table (column_name) VALUES ('never'); ROLLBACK TO a; COMMIT",
		"SELECT pg_logical_emit_message(true, 'somebody', 'else')",
	}[w.random.IntN(4)])
}

// large is a row that takes several system calls to write, so that a crash tears it.
func (w *writer) large(ctx context.Context) error {
	return w.exec(ctx, "INSERT INTO custom_audit_log (event_type, row_data) VALUES ('large', jsonb_build_object('column_name', $1::text, 'text', repeat('large', $2)))",
		w.label(), 60_000+w.random.IntN(40_000))
}

// copyAudited copies rows into the audited table, whose trigger fires for each.
func (w *writer) copyAudited(ctx context.Context) error {
	n := 1 + w.random.IntN(300)
	_, err := w.conn.CopyFrom(ctx, pgx.Identifier{"your_table"}, []string{"column_name"},
		pgx.CopyFromSlice(n, func(int) ([]any, error) { return []any{w.label()}, nil }))
	return err
}

// copyAudit copies rows into the audit table itself. Rows of one COPY have one LSN.
func (w *writer) copyAudit(ctx context.Context, n int) error {
	_, err := w.conn.CopyFrom(ctx, pgx.Identifier{"custom_audit_log"}, []string{"event_type", "user_name", "row_data"},
		pgx.CopyFromSlice(n, func(int) ([]any, error) {
			text := fmt.Sprintf(`{"id": 12345678901234567890, "column_name": "%s", "text": "é \"\\ \u2028"}`, w.label())
			return []any{"COPY", nil, []byte(text)}, nil
		}))
	return err
}

// bulk is a large transaction of that many rows.
func (w *writer) bulk(ctx context.Context, rows int) error {
	conn, err := pgx.Connect(ctx, w.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, fmt.Sprintf(`INSERT INTO custom_audit_log (event_type, event_timestamp, row_data)
		SELECT 'INSERT', now(), jsonb_build_object('id', n, 'column_name', '%s-' || n) FROM generate_series(1, %d) n`, w.name, rows))
	return err
}
