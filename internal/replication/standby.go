package replication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
)

// standbyLook is how often a standby looks whether the slot is free. Nothing tells it: a notification would have to be sent
// by the consumer that dies.
const standbyLook = 500 * time.Millisecond

// occupancy is what a standby asks.
type occupancy struct {
	Active    bool        `json:"active"`
	Peer      bool        `json:"peer"`
	Confirmed decoder.LSN `json:"confirmed_flush_lsn"`
}

// peerSQL says whether the consumer of the slot s is another pgwitness: the same role under the same application_name, which
// only that role and monitoring roles are shown. Others who read the slot away are no peers, and what they have read is missed.
const peerSQL = `EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = s.active_pid AND a.usename = current_user
      AND a.application_name = current_setting('application_name'))`

const occupancyQuery = `SELECT json_build_object('active', s.active, 'peer', ` + peerSQL + `,
  'confirmed_flush_lsn', s.confirmed_flush_lsn)
 FROM pg_replication_slots s WHERE s.slot_name = %s`

// behold remembers, for when there is no checkpoint or an old one, what the peer that has the slot follows.
func (s *Stream) behold(now Origin, cat *catalog, was identity) {
	now.Publication = cat.identity(was).String()
	s.seen = &Mark{Origin: now, Confirmed: cat.Slot.ConfirmedFlush}
	s.settleConfirmed()
}

// settleConfirmed takes the flush position from what was followed before. Until the first stream only Run writes it.
func (s *Stream) settleConfirmed() {
	if was := s.followed(); was != nil {
		s.confirmed.Store(uint64(was.Confirmed))
	}
}

// standBy waits until nobody streams from the slot any more, or until it cannot be seen whether somebody does. It asks on a
// connection that it keeps, since one each time would cost the server a process and an authentication.
func (s *Stream) standBy(ctx context.Context) error {
	conn, err := s.dialCatalog(ctx)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	for {
		s.cfg.Observer.Standby()
		// Waiting for a notification, of which there is none, is what notices at once that the server ends the connection.
		idle, cancel := context.WithTimeout(ctx, standbyLook)
		err := conn.WaitForNotification(idle)
		elapsed := idle.Err() != nil
		cancel()
		if ctx.Err() != nil || err != nil && !elapsed {
			return err
		}
		now, err := s.occupied(ctx, conn)
		if err != nil {
			return err
		}
		if !now.Active {
			return nil
		}
		if s.seen != nil && now.Peer && now.Confirmed > s.seen.Confirmed {
			s.seen.Confirmed = now.Confirmed
			s.settleConfirmed()
		}
	}
}

func (s *Stream) dialCatalog(ctx context.Context) (*pgconn.PgConn, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	conn, _, err := dial(ctx, s.cfg.ConnConfig, false)
	return conn, err
}

// occupied asks once. A slot that is not there is free: the examination tells the rest.
func (s *Stream) occupied(ctx context.Context, conn *pgconn.PgConn) (now occupancy, err error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	text, err := queryText(ctx, conn, fmt.Sprintf(occupancyQuery, quoteLiteral(s.cfg.Slot)))
	switch {
	case errors.Is(err, errNoRow):
		return now, nil
	case err == nil:
		err = json.Unmarshal([]byte(text), &now)
	}
	if err != nil {
		return now, fmt.Errorf("looking whether slot %s is free: %w", s.cfg.Slot, err)
	}
	return now, nil
}
