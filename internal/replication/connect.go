package replication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
)

// pinned are the settings that change the text of a value, or how names are read. With them a row has one text, whatever
// ALTER ROLE, ALTER DATABASE or postgresql.conf say; its digest depends on that.
var pinned = map[string]string{
	"TimeZone":                    "UTC",
	"DateStyle":                   "ISO",
	"IntervalStyle":               "postgres",
	"extra_float_digits":          "3",
	"bytea_output":                "hex",
	"lc_monetary":                 "C",
	"client_encoding":             "UTF8",
	"search_path":                 "pg_catalog",
	"quote_all_identifiers":       "off",
	"standard_conforming_strings": "on",
}

// PinnedSettings are the run-time parameters under which PostgreSQL gives each value the one text that events and their
// digests are made of. Whoever compares with the table sets the same.
func PinnedSettings() map[string]string { return maps.Clone(pinned) }

// dial connects for replication or for queries. A host that is a standby is passed over if the DSN names others.
func dial(ctx context.Context, configure func() (*pgconn.Config, error), replication bool) (*pgconn.PgConn, *link, error) {
	cfg, err := configure()
	if err != nil {
		return nil, nil, failf(ErrConfig, "%w", err)
	}
	maps.Copy(cfg.RuntimeParams, pinned)
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "pgwitness"
	}
	if replication {
		cfg.RuntimeParams["replication"] = "database"
		cfg.RuntimeParams["client_min_messages"] = "warning" // one of them counts: see session.handle
	}
	cfg.ValidateConnect = nil // pgconn's own needs the extended protocol, which a walsender does not speak
	if slices.ContainsFunc(cfg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != cfg.Host || f.Port != cfg.Port }) {
		cfg.ValidateConnect = refuseStandby // sslmode=prefer makes a fallback too, to the same host
		if cfg.ConnectTimeout == 0 {
			// A node that is down answers nothing at all. Waiting for it must leave time for those named after it.
			cfg.ConnectTimeout = min(hostTimeout, connectTimeout/time.Duration(1+len(cfg.Fallbacks)))
		}
	}
	var last *link // hosts are tried one after another: the last one dialled is the one connected to
	connected := false
	dialFunc := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if connected {
			// pgconn dials again to cancel a query whose context is done. Our queries are short, and a server that does
			// not answer would hold up the end of the process.
			return nil, errors.New("no cancel requests")
		}
		conn, err := dialFunc(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			// A peer that vanished without a word is found within half a minute; the kernel's defaults take hours.
			err = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3})
			if err != nil {
				return nil, errors.Join(err, conn.Close())
			}
		}
		last = newLink(conn)
		return last, nil
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	connected = true
	return conn, last, nil
}

// hangUp closes conn and waits until that is done, which pgconn leaves to a goroutine after a query that was given up.
func hangUp(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx) // it is given up either way
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
		_ = conn.Conn().Close()
		<-conn.CleanupDone()
	}
}

func refuseStandby(ctx context.Context, conn *pgconn.PgConn) error {
	standby, err := queryText(ctx, conn, "SELECT pg_catalog.pg_is_in_recovery()")
	if err == nil && standby == "t" {
		return errInRecovery
	}
	return err
}

// queryText runs statements by the simple protocol, the only one a walsender speaks, and returns the first column of the last
// one's first row.
func queryText(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) == 0 {
		return "", errNoRow
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 || len(last.Rows[0]) == 0 {
		return "", errNoRow
	}
	return string(last.Rows[0][0]), nil
}

// connect examines the server and starts replication.
func (s *Stream) connect(ctx context.Context) (_ *session, err error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	origin, cat, former, err := s.examine(ctx)
	if err != nil {
		return nil, err
	}
	conn, link, err := dial(ctx, s.cfg.ConnConfig, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			hangUp(conn)
		}
	}()
	if system, err := pglogrepl.IdentifySystem(ctx, conn); err != nil {
		return nil, fmt.Errorf("IDENTIFY_SYSTEM: %w", err)
	} else if system.SystemID != origin.SystemID || system.Timeline != origin.Timeline {
		return nil, errors.New("the server changed while it was examined")
	}
	start := max(cat.Slot.ConfirmedFlush, s.Confirmed())
	if err := pglogrepl.StartReplication(ctx, conn, `"`+s.cfg.Slot+`"`, pglogrepl.LSN(start), pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", "publication_names " + quoteLiteral(quoteIdent(s.cfg.Publication)),
			"messages 'true'"}, // by which retention announces itself
	}); err != nil {
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == codeObjectInUse && !s.connected {
			err = fmt.Errorf("%w: %w", errBusy, err) // it was quicker
		}
		return nil, err
	}
	s.Confirm(start) // the slot's own position: nothing before it can be sent any more
	s.stoppingSince.Store(0)
	s.originOnce.Do(func() {
		s.mark = Mark{Origin: origin, Confirmed: start, Delivered: start - 1}
		if was := s.followed(); was != nil {
			s.mark.Delivered = was.newest()
		}
		s.history, s.tookOver = cat.History, s.worked
		close(s.originSet)
	})
	source := s.cfg.Source
	if source == "" {
		source = cat.Database
	}
	link.streaming, link.drained = true, s.handoff.release
	return &session{
		stream: s, conn: conn, link: link,
		decoder: decoder.New(decoder.Config{
			Source: source, Schema: s.cfg.Schema, Table: s.cfg.Table, RelationOID: cat.Table.OID, Former: former, Key: cat.Table.Key,
		}),
		statusEvery: s.statusEvery(cat.SenderTimeout),
		tables:      append([]uint32{cat.Table.OID}, former...),
		received:    start,
		flushed:     start,
	}, nil
}

// examine checks that the server and its slot are those that were followed before, and that they can be followed. It does so
// on a connection of its own: a walsender that has answered queries decodes with what it keeps of the catalog from then,
// instead of the catalog as it was when a row was written. From PostgreSQL 16 on it then takes a row apart by the columns
// that the table was given later, and in any version it leaves out, without a word, the rows from before the publication.
func (s *Stream) examine(ctx context.Context) (origin Origin, cat *catalog, former []uint32, err error) {
	conn, _, err := dial(ctx, s.cfg.ConnConfig, true)
	if err != nil {
		return Origin{}, nil, nil, err
	}
	defer hangUp(conn)
	// Before the server's position: the process that still has the slot may be confirming what comes after that.
	if err := s.recall(); err != nil {
		return Origin{}, nil, nil, err
	}
	system, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return Origin{}, nil, nil, fmt.Errorf("IDENTIFY_SYSTEM: %w", err)
	}
	history, err := readHistory(ctx, conn, system.Timeline)
	if err != nil {
		return Origin{}, nil, nil, err
	}
	was := s.identity()
	cat, err = readCatalog(ctx, conn, s.target(), was)
	if err != nil {
		return Origin{}, nil, nil, err
	}
	cat.History = history
	origin = Origin{SystemID: system.SystemID, Timeline: system.Timeline, Database: cat.Database, Slot: s.cfg.Slot}
	if !cat.Standby { // its timeline and its WAL are none of its own, and it is not going to be followed
		if err := s.sameServer(origin, decoder.LSN(system.XLogPos)); err != nil {
			return Origin{}, nil, nil, err
		}
	}
	// And after the slot's position, which that process confirms only once it has saved it.
	if err := s.recall(); err != nil {
		return Origin{}, nil, nil, err
	}
	if cat.Standby && s.worked {
		return Origin{}, nil, nil, errInRecovery
	}
	if !cat.Standby {
		if err := s.descends(origin, history); err != nil {
			return Origin{}, nil, nil, err
		}
	}
	if err := cat.check(s.target()); err != nil {
		if s.used() && !cat.Standby && !errors.Is(err, ErrEvidence) {
			err = failf(ErrEvidence, "%w; it was in order before: rows after %s may have been lost", err, s.lastConfirmed())
		}
		return Origin{}, nil, nil, err
	}
	if err := s.available(origin, cat, was); err != nil {
		return Origin{}, nil, nil, err
	}
	if s.identity().String() != was.String() {
		return Origin{}, nil, nil, errors.New("another consumer went on while the server was examined")
	}
	now, ok := s.follow(cat, was)
	if !ok {
		return Origin{}, nil, nil, failf(ErrEvidence, republished+" since %s: rows written in between were not sent%s",
			s.cfg.Publication, s.lastConfirmed(), accept)
	}
	origin.Publication = now.String()
	return origin, cat, cat.former(now), nil
}

// available checks that the slot stands where it was left, and that nobody streams from it.
func (s *Stream) available(origin Origin, cat *catalog, was identity) error {
	slot := cat.Slot
	switch {
	case slot.Active && s.connected && slot.ActivePID == s.walsender:
		return fmt.Errorf("%w: %s", errHeld, s.cfg.Slot)
	case slot.Active && s.connected:
		return fmt.Errorf("%w: another consumer has taken slot %s", ErrStale, s.cfg.Slot)
	case slot.Active && slot.Peer:
		s.behold(origin, cat, was)
		return fmt.Errorf("%w: %s", errBusy, s.cfg.Slot)
	}
	if err := s.continues(origin, slot.ConfirmedFlush); err != nil {
		return err
	}
	if slot.Active {
		// What its consumer confirms between here and START_REPLICATION would not be seen.
		return fmt.Errorf("%w: %s", errBusy, s.cfg.Slot)
	}
	return nil
}

// republished is what is wrong when follow says no.
const republished = "publication %s, or the table's membership in it, was re-created, and not by the transaction that made the table,"

// statusEvery is often enough for the server, and for an answer to come before patience ends.
func (s *Stream) statusEvery(senderTimeout time.Duration) time.Duration {
	every := min(s.cfg.StatusInterval, s.cfg.ReceiveTimeout/3)
	if senderTimeout > 0 { // 0 turns it off
		every = min(every, senderTimeout/3)
	}
	return every
}

// recall reads what an earlier run left, until this one has a stream of its own.
func (s *Stream) recall() error {
	if s.connected {
		return nil
	}
	previous, err := s.cfg.Previous()
	if err != nil {
		return failf(ErrEvidence, "%w", err)
	}
	s.previous = previous
	s.settleConfirmed()
	return nil
}

// followed returns what was followed before, nil if nothing was.
func (s *Stream) followed() *Mark {
	switch {
	case s.connected:
		mark := Mark{Origin: s.mark.Origin, Confirmed: s.Confirmed()}
		mark.Publication = s.Publication()
		return &mark
	case s.seen != nil && (s.previous == nil || s.previous.Before(*s.seen)):
		return s.seen
	}
	return s.previous
}

// identity is that of the publication which was followed before, and none if nothing was.
func (s *Stream) identity() identity {
	if was := s.followed(); was != nil {
		return parseIdentity(was.Publication)
	}
	return identity{}
}

const accept = "; if that is known and accepted, move the checkpoint in state_dir away and start again"

// sameServer checks that it is the server that was followed before: same cluster, and no less WAL.
func (s *Stream) sameServer(now Origin, end decoder.LSN) error {
	was := s.followed()
	switch {
	case was == nil:
	case was.SystemID != now.SystemID:
		return failf(ErrEvidence, "the server is another cluster (system identifier %s) than the one followed until %s (%s)%s",
			now.SystemID, was.Confirmed, was.SystemID, accept)
	case was.Database != now.Database || was.Slot != now.Slot:
		return failf(ErrEvidence, "the checkpoint in state_dir belongs to slot %s of database %s, not to slot %s of %s: give "+
			"each its own state_dir", was.Slot, was.Database, now.Slot, now.Database)
	case was.Timeline == now.Timeline && was.Confirmed > end:
		return failf(ErrEvidence, "the server's WAL ends at %s, before %s up to where it was followed: it was restored to an "+
			"earlier state%s", end, was.Confirmed, accept)
	}
	return nil
}

// continues checks that the slot goes on where it was left: nobody has moved its position.
func (s *Stream) continues(now Origin, slot decoder.LSN) error {
	was := s.followed()
	switch {
	case was == nil:
	case slot > was.Confirmed && s.connected:
		return fmt.Errorf("%w: slot %s stands at %s, past %s", ErrStale, now.Slot, slot, was.Confirmed)
	case slot > was.Confirmed && was == s.seen:
		// The peer has gone on since it was last seen, and there is no checkpoint that would know how far.
	case slot > was.Confirmed:
		return failf(ErrEvidence, "slot %s stands at %s, past %s up to where pgwitness had confirmed it: it was re-created, or "+
			"somebody else consumed it; rows between the two were not delivered%s", now.Slot, slot, was.Confirmed, accept)
	}
	return nil
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func formatOID(oid uint32) string { return strconv.FormatUint(uint64(oid), 10) }
