package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
)

// Branch is where the server left a timeline for the next one: a record of the WAL that begins before At is the same on
// both.
type Branch struct {
	Timeline int32
	At       decoder.LSN
}

// readHistory asks where the timelines before timeline were left, oldest first. A server that does not know any more gives
// none, which matters only to who was on one of them.
func readHistory(ctx context.Context, conn *pgconn.PgConn, timeline int32) ([]Branch, error) {
	if timeline <= 1 {
		return nil, nil
	}
	result, err := pglogrepl.TimelineHistory(ctx, conn, timeline)
	if _, ok := errors.AsType[*pgconn.PgError](err); ok {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("TIMELINE_HISTORY: %w", err)
	}
	return parseHistory(result.Content)
}

// parseHistory reads a timeline history file: in each line a timeline, where it was left, and why, in free text.
func parseHistory(content []byte) ([]Branch, error) {
	var history []Branch
	for line := range bytes.Lines(content) {
		fields := bytes.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("TIMELINE_HISTORY: the line %q has no position", line)
		}
		timeline, err := strconv.ParseInt(string(fields[0]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("TIMELINE_HISTORY: %w", err)
		}
		at, err := decoder.ParseLSN(string(fields[1]))
		if err != nil {
			return nil, fmt.Errorf("TIMELINE_HISTORY: %w", err)
		}
		history = append(history, Branch{Timeline: int32(timeline), At: at})
	}
	return history, nil
}

// newest is the last position at which an event may have been delivered.
func (m *Mark) newest() decoder.LSN {
	if m.Delivered == 0 && m.Confirmed > 0 {
		return m.Confirmed - 1
	}
	return m.Delivered
}

// descends checks, if the server is on another timeline than the one that was followed, that this one goes on where that
// one was left, and that it was left after all that was delivered. A position that was confirmed may well lie behind: the
// WAL up to there was of other tables, and is not on the new timeline. From there on it is this timeline's own positions that
// count, so what was confirmed is taken back to where the two part.
func (s *Stream) descends(now Origin, history []Branch) error {
	was := s.followed()
	if was == nil || was.Timeline == now.Timeline {
		return nil
	}
	if s.connected {
		return fmt.Errorf("%w: the server is on timeline %d now", ErrStale, now.Timeline)
	}
	for _, branch := range history {
		switch {
		case branch.Timeline != was.Timeline:
			continue
		case branch.At <= was.newest():
			return failf(ErrEvidence, "the server is on timeline %d, which left timeline %d at %s, and rows were delivered up to %s: it was "+
				"promoted from behind, or restored to an earlier state; the rows delivered from %s on are not in it, and those that it "+
				"has written since then may be missing%s", now.Timeline, was.Timeline, branch.At, was.newest(), branch.At, accept)
		}
		s.log.Info("the server goes on on another timeline, on which all that was delivered happened too", "timeline", now.Timeline,
			"before", was.Timeline, "left_at", branch.At, "delivered", was.newest())
		s.forget(branch.At)
		return nil
	}
	return failf(ErrEvidence, "the server is on timeline %d, which does not descend from timeline %d, on which it was followed until "+
		"%s: it is another copy of the database, and rows may be missing%s", now.Timeline, was.Timeline, was.Confirmed, accept)
}

// forget takes what was confirmed back to limit, if it lies beyond.
func (s *Stream) forget(limit decoder.LSN) {
	was := s.followed()
	if was.Confirmed <= limit {
		return
	}
	earlier := *was
	earlier.Delivered, earlier.Confirmed = was.newest(), limit
	if was == s.seen {
		s.seen = &earlier
	} else {
		s.previous = &earlier
	}
	s.confirmed.Store(uint64(limit))
}
