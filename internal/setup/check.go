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
	return admin.Refuse(replication.ErrSetup, "table %s does not exist in database %s: %s", s.catalog.Names.Table, s.server.Database, hint)
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
		return admin.Refuse(replication.ErrSetup, "%s is not a table but %s: name the audit table with --table", name, kind)
	}
	if t.Children {
		return admin.Refuse(replication.ErrSetup, "%s has children by inheritance, whose rows are not its own in the stream: use "+
			"declarative partitioning", name)
	}
	for _, r := range t.Relations {
		switch {
		case r.Persistence != "p":
			return admin.Refuse(replication.ErrSetup, "%s is unlogged or temporary, so its rows never reach the WAL: ALTER TABLE %s SET LOGGED",
				r.Name, r.Name)
		case r.Kind == "f":
			return admin.Refuse(replication.ErrSetup, "partition %s is a foreign table, so its rows never reach this server's WAL: "+
				"detach it from %s", r.Name, name)
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
	dropIt := fmt.Sprintf("if nobody needs it, run SELECT pg_drop_replication_slot('%s') and init again; or choose another "+
		"name with --slot", name)
	switch {
	case slot.Type != "logical" || slot.Plugin != "pgoutput":
		return admin.Refuse(replication.ErrSetup, "slot %s is there already, %s with plugin %q, and pgwitness needs a logical one with "+
			"pgoutput: %s", name, slot.Type, slot.Plugin, dropIt)
	case slot.Database != s.server.Database:
		return admin.Refuse(replication.ErrSetup, "slot %s is there already and belongs to database %s, not to %s: %s",
			name, slot.Database, s.server.Database, dropIt)
	case slot.Temporary || slot.TwoPhase:
		return admin.Refuse(replication.ErrSetup, "slot %s is temporary or two-phase, and pgwitness needs one that is neither: %s", name, dropIt)
	case slot.WALStatus == "lost" || slot.Invalidation != "":
		return admin.Refuse(replication.ErrEvidence, "slot %s was invalidated: rows that were not delivered cannot be any more from the WAL; "+
			"run SELECT pg_drop_replication_slot('%s') and init again, and take what is missing from the table", name, name)
	case s.catalog.Publication == nil:
		return admin.Refuse(replication.ErrSetup, "slot %s is there already, but publication %s is not, and a slot cannot use a publication "+
			"that is younger: name the right one with --publication; or %s", name, s.cfg.Publication, dropIt)
	case s.cfg.Failover && !slot.Failover:
		return admin.Refuse(replication.ErrSetup, "slot %s is there already, without failover: run ALTER_REPLICATION_SLOT %s (FAILOVER true) "+
			"in psql \"dbname=%s replication=database\"", name, name, s.server.Database)
	}
	return nil
}

// checkRoom asks whether a slot can be made and followed.
func (s *Setup) checkRoom() error {
	slot, server := s.catalog.Slot, s.server
	switch {
	case slot == nil && server.Slots >= server.MaxSlots:
		return admin.Refuse(replication.ErrSetup, "all %d replication slots are in use: raise max_replication_slots and restart the server, "+
			"or drop a slot that nobody needs (pg_replication_slots lists them)", server.MaxSlots)
	case (slot == nil || !slot.Active) && server.Senders >= server.MaxSenders:
		return admin.Refuse(replication.ErrSetup, "all %d WAL senders are in use: raise max_wal_senders and restart the server "+
			"(pg_stat_replication lists them)", server.MaxSenders)
	}
	return nil
}
