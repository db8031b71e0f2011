package crashtest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// watcher compares the files with the reference and the slot's confirmed position with both, all the time.
type watcher struct {
	dsn, slot string
	reference *reference
	followers []*follower

	conn      *pgx.Conn
	owed      []claim
	confirmed int // the times that the confirmed position was seen to have moved
	last      pglogrepl.LSN

	// checked is how many lines of the file that is furthest behind were found right.
	checked atomic.Int64
}

// walAlignment is what every record of the WAL begins and ends at a multiple of.
const walAlignment = 8

// claim is what a confirmed position says: that every row whose commit record begins before it is in the files, since the
// server will not send it again. They had these numbers of lines after it was read.
type claim struct {
	confirmed pglogrepl.LSN
	lines     []int
}

// run watches until ctx is done.
func (w *watcher) run(ctx context.Context) error {
	defer func() {
		if w.conn != nil {
			_ = w.conn.Close(context.WithoutCancel(ctx))
		}
		for _, f := range w.followers {
			f.close()
		}
	}()
	for ctx.Err() == nil {
		if err := w.look(ctx); err != nil {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
	return nil
}

func (w *watcher) look(ctx context.Context) error {
	confirmed, known := w.ask(ctx)
	now := claim{confirmed: confirmed}
	for _, f := range w.followers {
		complete, err := f.poll()
		if err != nil {
			return err
		}
		known = known && complete
		now.lines = append(now.lines, f.lines)
	}
	if confirmed%walAlignment != 0 {
		return fmt.Errorf("the slot was confirmed up to %s, which is no position in the WAL", confirmed)
	}
	if known && confirmed > w.last {
		w.last = confirmed
		w.confirmed++
		w.owed = append(w.owed, now)
	}
	upTo := w.reference.known()
	rows := w.reference.all()
	slowest := len(rows)
	for _, f := range w.followers {
		if err := f.check(rows); err != nil {
			return err
		}
		slowest = min(slowest, f.checked)
	}
	w.checked.Store(int64(slowest))
	for len(w.owed) > 0 && w.owed[0].confirmed <= upTo {
		due := countBefore(rows, w.owed[0].confirmed)
		for i, lines := range w.owed[0].lines {
			if lines < due {
				return fmt.Errorf("the slot was confirmed up to %s, and %s had %d lines then of the %d rows committed before: the first "+
					"that was missing is %v", w.owed[0].confirmed, w.followers[i].path, lines, due, rows[lines])
			}
		}
		w.owed = w.owed[1:]
	}
	return nil
}

// ask asks for the confirmed position. It is not known while the server is down.
func (w *watcher) ask(ctx context.Context) (pglogrepl.LSN, bool) {
	if w.conn == nil {
		conn, err := pgx.Connect(ctx, w.dsn)
		if err != nil {
			return 0, false
		}
		w.conn = conn
	}
	var text string
	err := w.conn.QueryRow(ctx, "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", w.slot).Scan(&text)
	if err != nil {
		_ = w.conn.Close(ctx)
		w.conn = nil
		return 0, false
	}
	lsn, err := pglogrepl.ParseLSN(text)
	return lsn, err == nil
}
