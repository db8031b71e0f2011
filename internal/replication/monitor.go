package replication

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
	"pgwitness/internal/retry"
)

// Monitor watches the slot and the publication in the catalog, on a connection of its own that may fail without
// consequence for the stream.
type Monitor struct {
	stream   *Stream
	every    time.Duration
	observer MonitorObserver
	log      *slog.Logger

	// Owned by Run.
	end      decoder.LSN // of the WAL, before the catalog was read last
	tableDue time.Time   // when the audit table is to be measured again
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

// streamFirst is how long the stream is given to connect before the Monitor does. One that ends at once, since something is
// not in order, is to leave no second failure in the server's log.
const streamFirst = 2 * time.Second

// Run watches until ctx is done, and then returns nil. It also does so while another consumer has the slot, and looks then
// at the slot alone. It returns an ErrEvidence when rows may pass the stream unseen, as they do without an error from
// PostgreSQL 18 on once the publication has lost the table, and from any version once the table is dropped; first it lets be
// delivered what was committed before.
func (m *Monitor) Run(ctx context.Context) error {
	first, cancel := context.WithTimeout(ctx, streamFirst)
	_, err := m.stream.Origin(first)
	over := err != nil && first.Err() == nil
	cancel()
	if over || ctx.Err() != nil {
		return nil // what is wrong is the stream's to tell
	}
	watching, stop := context.WithCancel(ctx)
	var standbys sync.WaitGroup
	for _, s := range m.standbys() {
		standbys.Go(func() { s.run(watching) })
	}
	err = m.run(ctx)
	stop()
	standbys.Wait()
	return err
}

// run watches the source.
func (m *Monitor) run(ctx context.Context) error {
	defer m.observer.Answering(false)
	backoff := retry.New()
	outage := retry.NewOutage(m.log)
	for ctx.Err() == nil {
		err := m.watch(ctx, func() {
			backoff.Succeeded()
			outage.Over("the slot can be watched again: its metrics move")
		})
		if ctx.Err() != nil {
			return nil
		}
		m.observer.Answering(false)
		if begun := m.begun(); begun && fatal(err) {
			m.outlast(ctx, err)
			return err
		} else if begun { // until then the stream says the same
			outage.Failed(slog.LevelWarn, "watch", "the slot cannot be watched: its metrics stand still until it can; the stream does not "+
				"need them", "error", err)
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

// begun says whether the stream has connected, so that it is known what is followed.
func (m *Monitor) begun() bool {
	select {
	case <-m.stream.originSet:
		return true
	default:
		return false
	}
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

// locked says whether err is that somebody has locked the audit table.
func locked(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == codeLockNotAvailable
}

// stopped says whether err is how the server ends a connection.
func stopped(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == codeAdminShutdown || pgErr.Code == codeCrashShutdown)
}

// configure says how to connect. Some of what is asked locks the audit table as a SELECT does: while an ALTER TABLE has it,
// that is left out and the rest goes on.
func (m *Monitor) configure() (*pgconn.Config, error) {
	config, err := m.stream.cfg.ConnConfig()
	if err == nil {
		config.RuntimeParams["lock_timeout"] = "100ms"
	}
	return config, err
}

// watch reads the catalog at each interval on one connection, until that fails.
func (m *Monitor) watch(ctx context.Context, succeeded func()) error {
	connectCtx, cancel := withTimeout(ctx)
	defer cancel()
	conn, _, err := dial(connectCtx, m.configure, false)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	for {
		if err := m.read(ctx, conn); err != nil {
			return err
		}
		succeeded()
		if err := rest(ctx, conn, m.every); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// rest waits for d, or until ctx is done. Waiting for a notification, of which there is none, is what notices at once that the
// server ends the connection; that is its error.
func rest(ctx context.Context, conn *pgconn.PgConn, d time.Duration) error {
	idle, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if err := conn.WaitForNotification(idle); err != nil && idle.Err() == nil {
		return err
	}
	return nil
}

// read measures, and looks once the stream has begun whether what it follows is still in order.
func (m *Monitor) read(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	f, offset, err := readFacts(ctx, conn, m.stream.cfg.Slot)
	if err != nil {
		return err
	}
	m.observer.Answering(true)
	m.stream.endangered.Store(f.Slot != nil && (f.Slot.WALStatus == "unreserved" || f.Slot.WALStatus == "lost"))
	if f.WALPosition != nil {
		m.observer.ObserveServer(ServerState{Timeline: f.Timeline, ClockOffset: offset, At: time.Now()})
	}
	if f.Slot != nil && f.WALPosition != nil {
		m.observer.ObserveSlot(f.state())
	}
	if m.begun() {
		if err := m.examine(ctx, conn); err != nil && !locked(err) {
			return err
		}
	}
	if time.Now().Before(m.tableDue) {
		return nil
	}
	table, err := readTable(ctx, conn, m.stream.target())
	if err == nil {
		m.observer.ObserveTable(table)
		m.tableDue = time.Now().Add(tableEvery)
	}
	return err
}

// examine reads the catalog once.
func (m *Monitor) examine(ctx context.Context, conn *pgconn.PgConn) error {
	t := m.stream.target()
	was := parseIdentity(m.stream.Publication())
	cat, err := readCatalog(ctx, conn, t, was)
	if err != nil {
		return err
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
	// A slot that stands past what was confirmed is the stream's to judge: it may be a standby's that has taken over.
	if _, ok := m.stream.follow(cat, was); !ok {
		return failf(ErrEvidence, republished+" while the stream ran: rows written in between were not sent; the last confirmed "+
			"position is %s", t.publication, m.stream.lastConfirmed())
	}
	return nil
}
