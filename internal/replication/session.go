package replication

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"pgwitness/decoder"
	"pgwitness/internal/failpoint"
)

// session is one connection in streaming mode. It is used by Stream.Run's goroutine alone.
type session struct {
	stream      *Stream
	conn        *pgconn.PgConn
	link        *link
	decoder     *decoder.Decoder
	statusEvery time.Duration
	tables      []uint32 // the OIDs of the audit table, and of those that were it before

	received  decoder.LSN // the write position: the server has sent everything before it
	flushed   decoder.LSN // the flush position the server knows
	statusDue time.Time
	heard     time.Time // when the server was last heard, or last not listened to
	pings     int       // keepalives in a row that asked for a reply and brought nothing new
	pingStart time.Time
	pingEnd   decoder.LSN
	heldBack  bool // by synchronized_standby_slots
}

const (
	// floodPings and floodWindow tell a shutdown: a server that waits for our flush position asks again as soon as it has
	// an answer. In ordinary operation it asks when half of wal_sender_timeout has passed in silence.
	floodPings  = 3
	floodWindow = time.Second
	// stopGrace is how long a server that is shutting down is kept waiting for the sinks.
	stopGrace = 2 * time.Second
	// stoppingStatus is how often it is told the same flush position meanwhile.
	stoppingStatus = 50 * time.Millisecond
	// lookAround is the longest time between two looks at what other goroutines want.
	lookAround = time.Second
)

// run receives until ctx is done or the connection ends.
func (s *session) run(ctx context.Context) error {
	s.heard = time.Now()
	s.stream.cfg.Observer.Received(s.received)
	if err := s.sendStatus(false); err != nil {
		return err
	}
	for fills := s.link.fills; ; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.stream.ended || s.stream.handoff.full() {
			if err := s.pause(ctx); err != nil {
				return err
			}
			continue
		}
		s.link.deadline = time.Now().Add(min(lookAround, time.Until(s.statusDue)))
		for {
			message, err := s.conn.Frontend().Receive()
			if isTimeout(err) {
				break // what was read of the message so far is kept
			}
			if err != nil {
				return err
			}
			if err := s.handle(message); err != nil {
				if err = s.stream.classify(err); fatal(err) {
					return s.settle(ctx, err)
				}
				return err
			}
			if s.stream.ended || s.stream.handoff.full() || s.link.fills != fills {
				break
			}
		}
		if s.link.fills != fills {
			fills, s.heard = s.link.fills, s.link.filledAt
		}
		if err := s.lookAround(); err != nil {
			return err
		}
	}
}

// settle gives the sinks a moment with what was received before err, so that it is confirmed and does not come again.
func (s *session) settle(ctx context.Context, err error) error {
	s.stream.handoff.finish(err)
	for end := time.Now().Add(stopGrace); s.stream.Confirmed() < s.stream.marked && time.Now().Before(end); {
		if s.pause(ctx) != nil {
			break
		}
	}
	return err
}

// pause waits while nothing may be received, and keeps the server informed meanwhile: a stuck sink is no reason for it
// to end the connection.
func (s *session) pause(ctx context.Context) error {
	s.stream.handoff.release()
	timer := time.NewTimer(min(lookAround, max(0, time.Until(s.statusDue))))
	defer timer.Stop()
	select {
	case <-s.stream.handoff.room:
	case <-s.stream.wake:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.stream.endangered.Load() {
		// To invalidate the slot the server terminates the walsender and waits for its end, inside a CHECKPOINT; and a
		// walsender whose last message finds no room never ends.
		return errEndangered
	}
	s.heard = time.Now() // it was not listened to
	return s.lookAround()
}

// lookAround sends what is due and notices what has been going on for too long.
func (s *session) lookAround() error {
	now := time.Now()
	if since := s.stream.stoppingSince.Load(); since != 0 && now.UnixNano()-since > int64(stopGrace) {
		return errStopping
	}
	silence := now.Sub(s.heard)
	if silence > s.stream.patience {
		// A server of version 14 is silent while it decodes a huge transaction of other tables. Were it given up after the
		// same time again and again, it would begin again and again.
		s.stream.patience *= 2
		return fmt.Errorf("%w: nothing came for %s", errSilent, silence.Round(time.Second))
	}
	if s.stream.Confirmed() > s.flushed || !now.Before(s.statusDue) {
		return s.sendStatus(silence > s.stream.patience/2)
	}
	return nil
}

// handle takes one message from the server.
func (s *session) handle(message pgproto3.BackendMessage) error {
	switch m := message.(type) {
	case *pgproto3.CopyData:
		if len(m.Data) == 0 {
			return fmt.Errorf("the server sent an empty CopyData message")
		}
		switch m.Data[0] {
		case pglogrepl.XLogDataByteID:
			return s.xlogData(m.Data[1:])
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			return s.keepalive(m.Data[1:])
		}
		return fmt.Errorf("the server sent a CopyData message of the unknown type %q", m.Data[0])
	case *pgproto3.ErrorResponse:
		return pgconn.ErrorResponseToPgError(m)
	case *pgproto3.CopyDone, *pgproto3.CommandComplete, *pgproto3.ReadyForQuery:
		return errCopyDone
	case *pgproto3.NoticeResponse:
		// From PostgreSQL 18 on it is no more than a warning that the slot knows of no such publication where it stands, and
		// the rows are left out.
		switch {
		case m.Routine == standbyWait:
			if !s.heldBack { // it is said again and again
				s.heldBack = true
				s.stream.log.Warn("the server sends nothing before a standby has it (synchronized_standby_slots): rows are late, not lost",
					"error", m.Message)
			}
		case m.Code == codeNotInState && m.SeverityUnlocalized == "WARNING":
			return fmt.Errorf("%w: %s: %s", errUnpublished, m.Message, m.Detail)
		}
	}
	return nil // other notices, and parameter changes
}

func (s *session) xlogData(data []byte) error {
	x, err := pglogrepl.ParseXLogData(data)
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	failpoint.Hit("stream.received")
	st := s.stream
	next := s.decoder.Next()
	again := !st.handed.IsZero() && s.decoder.InTransaction() && next.Compare(st.handed) <= 0
	result, err := st.handoff.decode(s.decoder, x.WALData, again)
	if err != nil {
		st.cfg.Observer.DecodeError()
		return err
	}
	if table := result.Relation; table != 0 && !slices.Contains(s.tables, table) {
		s.tables = append(s.tables, table)
		st.meet(table)
	}
	switch result.Boundary {
	case decoder.None:
		if now := s.decoder.Next(); now != next && !again {
			st.handed = decoder.Position{LSN: now.LSN, Seq: now.Seq - 1}
		}
	case decoder.Begin:
		if end := st.cfg.EndPos; end != 0 && s.decoder.Next().LSN > end {
			st.endAt()
		}
	case decoder.Commit:
		s.advance(result.End)
		switch last := st.cfg.EndPos; {
		case last == 0 || result.End < last:
		case result.End > last:
			st.endAt()
		default: // a transaction may begin just there; if the server has nothing further, its answer will say so
			return s.sendStatus(true)
		}
	}
	return nil
}

func (s *session) keepalive(data []byte) error {
	k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data)
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	end := decoder.LSN(k.ServerWALEnd)
	if k.ReplyRequested {
		s.ping(end)
		if s.stream.stoppingSince.Load() == 0 || s.stream.Confirmed() >= end {
			if err := s.sendStatus(false); err != nil {
				return err
			}
		} else {
			s.statusDue = time.Now().Add(stoppingStatus) // an answer at once would be followed by a question at once
		}
	}
	// Inside a transaction the WAL end may lie past the commit of the very transaction whose rows are still to come.
	if !s.decoder.InTransaction() {
		s.advance(end)
		if last := s.stream.cfg.EndPos; last != 0 && end >= last {
			s.stream.endAt()
		}
	}
	return nil
}

// advance takes note that everything before end was received, and lets end ride behind it.
func (s *session) advance(end decoder.LSN) {
	st := s.stream
	if end > s.received {
		s.received = end
		st.cfg.Observer.Received(end)
		st.patience = st.cfg.ReceiveTimeout
	}
	if end > st.marked {
		st.marked = end
		st.handoff.mark(end)
	}
}

// ping counts keepalives that ask for a reply without anything new, to notice a server that waits for us to let it stop.
func (s *session) ping(end decoder.LSN) {
	now := time.Now()
	if end != s.pingEnd || now.Sub(s.pingStart) > floodWindow {
		s.pings, s.pingStart, s.pingEnd = 1, now, end
		return
	}
	if s.pings++; s.pings >= floodPings {
		s.stream.stoppingSince.CompareAndSwap(0, now.UnixNano())
	}
}

// sendStatus sends a standby status update. The flush position is never zero, which would acknowledge everything that was
// received (pglogrepl replaces it by the write position): connect begins it with the slot's own.
func (s *session) sendStatus(ask bool) error {
	failpoint.Hit("stream.before-status")
	flush := max(s.flushed, s.stream.Confirmed())
	err := pglogrepl.SendStandbyStatusUpdate(context.Background(), s.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: pglogrepl.LSN(max(s.received, flush)),
		WALFlushPosition: pglogrepl.LSN(flush),
		WALApplyPosition: pglogrepl.LSN(flush),
		ReplyRequested:   ask,
	})
	if err != nil {
		return fmt.Errorf("sending a standby status update: %w", err)
	}
	failpoint.Hit("stream.after-status")
	s.flushed = flush
	s.statusDue = time.Now().Add(s.statusEvery)
	s.stream.cfg.Observer.Flushed(flush)
	return nil
}

// close tells the server the last confirmed position and ends the stream in good order: closing the socket at once, with
// unread data in it, resets the connection and may discard that last word.
func (s *session) close() {
	defer hangUp(s.conn)
	if s.conn.IsClosed() || s.sendStatus(false) != nil {
		return
	}
	s.conn.Frontend().Send(&pgproto3.CopyDone{})
	if s.conn.Frontend().Flush() != nil {
		return
	}
	for deadline := time.Now().Add(closeTimeout); ; {
		s.link.deadline = deadline
		message, err := s.conn.Frontend().Receive()
		if isTimeout(err) && time.Now().Before(deadline) {
			continue // an interruption
		}
		if _, done := message.(*pgproto3.CopyDone); done || err != nil {
			return
		}
		if _, failed := message.(*pgproto3.ErrorResponse); failed {
			return
		}
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
