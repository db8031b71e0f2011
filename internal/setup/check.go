package setup

import (
	"context"
	"fmt"

	"pgwitness/internal/admin"
	"pgwitness/internal/config"
	"pgwitness/internal/replication"
)

const (
	oldestVersion   = 14 // the first major release that is supported
	failoverVersion = 17 // the first with failover slots
)

// Obstacle is something that a person must change before anything can be set up.
type Obstacle struct {
	// Problem says what is in the way, and Remedy what to do about it; the error's text is both.
	Problem, Remedy string

	class error
}

func (o *Obstacle) Error() string { return o.Problem + ": " + o.Remedy }
func (o *Obstacle) Unwrap() error { return o.class }

// check says what of the server a person must change before anything can be set up.
func (s *server) check() error {
	switch {
	case s.major() < oldestVersion:
		return admin.Refuse(replication.ErrSetup, "the server is PostgreSQL %s; pgwitness needs %d or later", s.Version, oldestVersion)
	case s.Standby:
		return admin.Refuse(replication.ErrSetup, "%w; connect to the primary, or name all hosts in source.dsn", admin.ErrStandby)
	case s.WALLevel != "logical":
		return admin.Refuse(replication.ErrSetup, "wal_level is %s: run ALTER SYSTEM SET wal_level = 'logical' and restart the server "+
			"(a managed one has a parameter for it, such as rds.logical_replication or cloudsql.logical_decoding)", s.WALLevel)
	}
	return nil
}

// check says what of the catalog a person must change before anything can be set up.
func (s *Setup) check(ctx context.Context) error {
	if s.catalog.Table == nil {
		return s.missingTable(ctx)
	}
	if err := s.checkTable(); err != nil {
		return err
	}
	if err := s.checkSlot(); err != nil {
		return err
	}
	return s.checkRoom()
}

func (s *Setup) missingTable(ctx context.Context) error {
	const query = `SELECT coalesce(json_agg(format('%I.%I', n.nspname, c.relname) ORDER BY 1), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`
	var tables []string
	if err := s.conn.JSON(ctx, &tables, query); err != nil {
		return fmt.Errorf("listing the tables: %w", err)
	}
	hint := "it has no table at all: create the audit table first"
	if nearest := config.Nearest(s.catalog.Names.Table, tables); nearest != "" {
		hint = fmt.Sprintf("did you mean %s? Name the audit table with --table", nearest)
	}
	problem := fmt.Sprintf("table %s does not exist in database %s", s.catalog.Names.Table, s.server.Database)
	return &Obstacle{problem, hint, replication.ErrSetup}
}

// kinds are pg_class's words for what is not a table.
var kinds = map[string]string{"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index"}

func (s *Setup) checkTable() error {
	t, name := s.catalog.Table, s.catalog.Names.Table
	if t.Kind != "r" && t.Kind != "p" {
		kind := kinds[t.Kind]
		if kind == "" {
			kind = "something else"
		}
		return &Obstacle{name + " is not a table but " + kind, "name the audit table with --table", replication.ErrSetup}
	}
	if t.Children {
		return &Obstacle{name + " has children by inheritance, whose rows are not its own in the stream", "use declarative partitioning",
			replication.ErrSetup}
	}
	for _, r := range t.Relations {
		switch {
		case r.Persistence != "p":
			return &Obstacle{r.Name + " is unlogged or temporary, so its rows never reach the WAL", "ALTER TABLE " + r.Name + " SET LOGGED",
				replication.ErrSetup}
		case r.Kind == "f":
			return &Obstacle{"partition " + r.Name + " is a foreign table, so its rows never reach this server's WAL", "detach it from " + name,
				replication.ErrSetup}
		}
	}
	return nil
}

func (s *Setup) checkSlot() error {
	slot, name := s.catalog.Slot, s.cfg.Slot
	if s.cfg.Failover && s.server.major() < failoverVersion {
		return admin.Refuse(replication.ErrSetup, "--failover: the server is PostgreSQL %s, and failover slots came with %d",
			s.server.Version, failoverVersion)
	}
	if slot == nil {
		return nil
	}
	obstacle := func(remedy, problem string, args ...any) error {
		return &Obstacle{"slot " + name + " " + fmt.Sprintf(problem, args...), remedy, replication.ErrSetup}
	}
	dropIt := fmt.Sprintf("if nobody needs it, run SELECT pg_drop_replication_slot('%s') and init again; or choose another "+
		"name with --slot", name)
	switch {
	case slot.Type != "logical" || slot.Plugin != "pgoutput":
		return obstacle(dropIt, "is there already, %s with plugin %q, and pgwitness needs a logical one with pgoutput", slot.Type, slot.Plugin)
	case slot.Database != s.server.Database:
		return obstacle(dropIt, "is there already and belongs to database %s, not to %s", slot.Database, s.server.Database)
	case slot.Temporary || slot.TwoPhase:
		return obstacle(dropIt, "is temporary or two-phase, and pgwitness needs one that is neither")
	case slot.WALStatus == "lost" || slot.Invalidation != "":
		return &Obstacle{
			"slot " + name + " was invalidated, and what was not delivered cannot be any more from the WAL",
			fmt.Sprintf("run SELECT pg_drop_replication_slot('%s') and init again, and take what is missing from the table", name),
			replication.ErrEvidence,
		}
	case s.catalog.Publication == nil:
		return obstacle("name the right one with --publication; or "+dropIt, "is there already, but publication %s is not, and a slot cannot "+
			"use a publication that is younger", s.cfg.Publication)
	case s.cfg.Failover && !slot.Failover:
		return obstacle(fmt.Sprintf("run ALTER_REPLICATION_SLOT %s (FAILOVER true) in psql \"dbname=%s replication=database\"", name,
			s.server.Database), "is there already, without failover")
	}
	return nil
}

// checkRoom asks whether a slot can be made and followed.
func (s *Setup) checkRoom() error {
	slot, server := s.catalog.Slot, s.server
	switch {
	case slot == nil && server.Slots >= server.MaxSlots:
		return &Obstacle{fmt.Sprintf("all %d replication slots are in use", server.MaxSlots),
			"raise max_replication_slots and restart the server, or drop a slot that nobody needs (pg_replication_slots lists them)",
			replication.ErrSetup}
	case (slot == nil || !slot.Active) && server.Senders >= server.MaxSenders:
		return &Obstacle{fmt.Sprintf("all %d WAL senders are in use", server.MaxSenders),
			"raise max_wal_senders and restart the server (pg_stat_replication lists them)", replication.ErrSetup}
	}
	return nil
}
