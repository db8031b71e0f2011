package replication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/retry"
)

// standby watches the copy of the slot that one physical standby has: without a good one, a failover to it loses the slot,
// and rows with it. It has a goroutine and a connection of its own, so that one that hangs holds up nobody.
type standby struct {
	name      string
	slot      string
	configure func() (*pgconn.Config, error)
	every     time.Duration
	observer  MonitorObserver
	log       *slog.Logger

	// These are owned by run.
	state  StandbyState
	outage *retry.Outage
	told   bool // the log was told how it is
}

// standbys returns those that are configured now. One that is added later is watched from the next start on.
func (m *Monitor) standbys() []*standby {
	configs, err := m.stream.cfg.Standbys()
	if err != nil {
		m.log.Error("no standby is watched: mend source.standby_dsn_file and start again", "error", err)
	}
	standbys := make([]*standby, len(configs))
	for i, config := range configs {
		name := hostPort(config)
		standbys[i] = &standby{
			name: name, slot: m.stream.cfg.Slot, every: m.every, observer: m.observer, log: m.log.With("standby", name),
			configure: func() (*pgconn.Config, error) { return m.standbyConfig(name) },
			state:     StandbyState{Name: name, Problem: "it has not been asked yet"},
			outage:    retry.NewOutage(m.log.With("standby", name)),
		}
		m.observer.ObserveStandby(standbys[i].state)
	}
	return standbys
}

// standbyConfig returns how to connect to the standby of that name, as it is configured now.
func (m *Monitor) standbyConfig(name string) (*pgconn.Config, error) {
	configs, err := m.stream.cfg.Standbys()
	if err != nil {
		return nil, err
	}
	for _, config := range configs {
		if hostPort(config) == name {
			return config, nil
		}
	}
	return nil, errors.New("it is no longer among the standbys that are configured")
}

func hostPort(config *pgconn.Config) string {
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
}

// run watches until ctx is done. Nothing that happens to a standby is a reason to end.
func (s *standby) run(ctx context.Context) {
	backoff := retry.New()
	for ctx.Err() == nil {
		err := s.watch(ctx, backoff.Succeeded)
		if ctx.Err() != nil {
			return
		}
		s.tell("it cannot be asked ("+reason(err)+")", err)
		_ = backoff.Wait(ctx) // it is done, if not nil
	}
}

// watch asks at each interval on one connection, until that fails.
func (s *standby) watch(ctx context.Context, succeeded func()) error {
	connectCtx, cancel := withTimeout(ctx)
	defer cancel()
	conn, _, err := dial(connectCtx, s.configure, false)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	for {
		slot, err := s.read(ctx, conn)
		if err != nil {
			return err
		}
		succeeded()
		s.state.At = time.Now()
		s.tell(slot.unready(), nil)
		if err := rest(ctx, conn, s.every); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// read returns the standby's copy of the slot, nil if it has none.
func (s *standby) read(ctx context.Context, conn *pgconn.PgConn) (*catalogSlot, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	const query = "SELECT (SELECT to_jsonb(s) FROM pg_replication_slots s WHERE s.slot_name = %s)"
	text, err := queryText(ctx, conn, fmt.Sprintf(query, quoteLiteral(s.slot)))
	if err != nil || text == "" {
		return nil, err
	}
	slot := new(catalogSlot)
	return slot, json.Unmarshal([]byte(text), slot)
}

// unready says why s, a standby's copy of a slot, would not survive a failover to it; empty if it would.
func (s *catalogSlot) unready() string {
	switch {
	case s == nil:
		return "it has no copy of the slot"
	case s.Invalidation != "":
		return "its copy of the slot was invalidated (" + s.Invalidation + ")"
	case !s.Synced:
		return "its slot of that name is not synchronised"
	case s.Temporary:
		return "its copy of the slot is not complete yet"
	}
	return ""
}

// tell passes the state on, and logs it where it is another than before.
func (s *standby) tell(problem string, err error) {
	s.state.Ready, s.state.Problem = problem == "", problem
	s.observer.ObserveStandby(s.state)
	const ready = "the standby has a copy of the slot: a failover to it loses nothing"
	about := []any{"problem", problem}
	if err != nil {
		about = append(about, "error", err)
	}
	switch {
	case problem != "":
		s.outage.Failed(slog.LevelWarn, problem, "a failover to this standby would lose the slot; watching it on", about...)
	case !s.outage.Over(ready) && !s.told:
		s.log.Info(ready)
	}
	s.told = true
}
