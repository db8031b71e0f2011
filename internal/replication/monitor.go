package replication

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
	"pgwitness/internal/retry"
)

// state is s as SlotState has it; position is where the server's WAL ends.
func (s *catalogSlot) state(position decoder.LSN) SlotState {
	state := SlotState{
		Active: s.Active, WALStatus: s.WALStatus, SafeWAL: s.SafeWALSize,
		ConfirmedLag: max(0, int64(position-s.ConfirmedFlush)), Position: position,
		At: time.Now(),
	}
	if s.RestartLSN != 0 { // a lost slot retains nothing
		state.RetainedWAL = max(0, int64(position-s.RestartLSN))
	}
	return state
}

// Monitor watches the slot and the publication in the catalog, on a connection of its own that may fail without
// consequence for the stream.
type Monitor struct {
	stream   *Stream
	every    time.Duration
	observer MonitorObserver
	log      *slog.Logger

	end decoder.LSN // of the WAL, before the catalog was read last; owned by Run
}

// NewMonitor returns a Monitor for stream's slot that tells observer (which defaults to nobody) what it reads, at each
// interval (which defaults to 5 s).
func NewMonitor(stream *Stream, every time.Duration, observer MonitorObserver) *Monitor {
	if every <= 0 {
		every = 5 * time.Second
	}
	if observer == nil {
		observer = nobodyWatches{}
	}
	return &Monitor{stream: stream, every: every, observer: observer, log: stream.log}
}

// Run watches until ctx is done, and then returns nil. It returns an ErrEvidence when rows may pass the stream unseen, as
// they do without an error from PostgreSQL 18 on once the publication has lost the table, and from any version once the
// table is dropped; first it lets be delivered what was committed before.
func (m *Monitor) Run(ctx context.Context) error {
	// Before the first connection of the stream there is nothing to watch, and what is wrong is the stream's to tell.
	if _, err := m.stream.Origin(ctx); err != nil {
		return nil
	}
	backoff := retry.New()
	failing := false
	for ctx.Err() == nil {
		err := m.watch(ctx, func() {
			backoff.Succeeded()
			if failing {
				m.log.Info("the slot can be watched again")
			}
			failing = false
		})
		if ctx.Err() != nil {
			return nil
		}
		if fatal(err) {
			m.outlast(ctx, err)
			return err
		}
		if !failing {
			m.log.Warn("the slot cannot be watched: its metrics stand still; the stream does not need them", "error", err)
			failing = true
		}
		m.stream.endangered.Store(false) // for all that is known
		if stopping(err) {
			m.stream.ServerStopping()
		}
		if backoff.Wait(ctx) != nil {
			return nil
		}
	}
	return nil
}

// outlast waits until everything is confirmed that was in the WAL when err was found. What a dropped table held may be
// nowhere else any more.
func (m *Monitor) outlast(ctx context.Context, err error) {
	if m.stream.Confirmed() >= m.end {
		return
	}
	m.log.Error("evidence may be lost; ending once everything before that is delivered", "until", m.end, "error", err)
	const look = 50 * time.Millisecond
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for m.stream.Confirmed() < m.end {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// stopping says whether err is how a server that shuts down turns a connection away. A server that starts says the same,
// but then there is no stream that could be let go. A refused connection says nothing of the one that there is.
func stopping(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == codeCannotConnectNow
}

// watch reads the catalog at each interval on one connection, until that fails.
func (m *Monitor) watch(ctx context.Context, succeeded func()) error {
	connectCtx, cancel := withTimeout(ctx)
	defer cancel()
	conn, _, err := dial(connectCtx, m.stream.cfg.ConnConfig, false)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	for {
		if err := m.read(ctx, conn); err != nil {
			return err
		}
		succeeded()
		// Waiting for a notification, of which there is none, is what notices at once that the server ends the connection.
		idle, cancel := context.WithTimeout(ctx, m.every)
		err := conn.WaitForNotification(idle)
		elapsed := idle.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !elapsed {
			return err
		}
	}
}

// read reads the catalog once.
func (m *Monitor) read(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	t := m.stream.target()
	was := parseIdentity(m.stream.Publication())
	cat, err := readCatalog(ctx, conn, t, was)
	if err != nil {
		return err
	}
	if cat.Slot != nil {
		m.stream.endangered.Store(cat.Slot.WALStatus == "unreserved" || cat.Slot.WALStatus == "lost")
	}
	if cat.Slot != nil && cat.WALPosition != nil {
		m.observer.ObserveSlot(cat.Slot.state(*cat.WALPosition))
	}
	if cat.Standby {
		return nil // the stream has ended, or will
	}
	m.end = *cat.WALPosition
	err = cat.checkTable(t)
	if err == nil {
		err = cat.checkPublication(t, "")
	}
	if err != nil {
		return failf(ErrEvidence, "%w; it was in order when the stream began: rows may have passed unseen since %s",
			err, m.stream.lastConfirmed())
	}
	if s := cat.Slot; s != nil && s.ConfirmedFlush > m.stream.Confirmed() {
		return failf(ErrEvidence, "slot %s stands at %s, past %s up to where pgwitness had confirmed it: somebody else consumed "+
			"it; rows between the two were not delivered", t.slot, s.ConfirmedFlush, m.stream.lastConfirmed())
	}
	if _, ok := m.stream.follow(cat, was); !ok {
		return failf(ErrEvidence, republished+" while the stream ran: rows written in between were not sent; the last confirmed "+
			"position is %s", t.publication, m.stream.lastConfirmed())
	}
	return nil
}
