package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pgwitness/internal/setup"
)

var setupChecks = []check{
	{"server-version", Setup, anyway, "pgwitness relies on what older servers do not have.", func(f *facts) finding {
		const oldest = 14
		if f.setup.Major < oldest {
			return problem(fmt.Sprintf("upgrade the server to PostgreSQL %d or later", oldest), "the server is PostgreSQL %s", f.setup.Version)
		}
		return ok("PostgreSQL %s", f.setup.Version)
	}},
	{"server-primary", Setup, anyway, "A slot is followed on the primary; a standby cannot take one over.", func(f *facts) finding {
		if f.setup.Standby {
			return problem("name the primary, or all hosts, in source.dsn", "the server is a standby")
		}
		return ok("the server is a primary")
	}},
	{"wal-level", Setup, anyway, "Without it the WAL does not hold what logical replication sends.", func(f *facts) finding {
		if f.setup.WALLevel != "logical" {
			return problem("run ALTER SYSTEM SET wal_level = 'logical' and restart the server (a managed one has a parameter for it, such as "+
				"rds.logical_replication or cloudsql.logical_decoding)", "wal_level is %s", f.setup.WALLevel)
		}
		return ok("wal_level is logical")
	}},
	{"replication-slots", Setup, anyway, "Without a free one the slot cannot be made.", func(f *facts) finding {
		used := fmt.Sprintf("%d of max_replication_slots = %d in use", f.setup.Slots, f.setup.MaxSlots)
		if f.server.Slot == nil && f.setup.Slots >= f.setup.MaxSlots {
			return problem("raise max_replication_slots and restart the server, or drop a slot that nobody needs", "%s", used)
		}
		return ok("%s", used)
	}},
	{"wal-senders", Setup, anyway, "Without a free one the slot cannot be followed.", func(f *facts) finding {
		used := fmt.Sprintf("%d of max_wal_senders = %d in use", f.setup.Senders, f.setup.MaxSenders)
		if (f.server.Slot == nil || !f.server.Slot.Active) && f.setup.Senders >= f.setup.MaxSenders {
			return problem("raise max_wal_senders and restart the server", "%s", used)
		}
		return ok("%s", used)
	}},
	{"streaming-role", Setup, tablePart, "`pgwitness run` connects as this role, and follows the slot as it.", func(f *facts) finding {
		return f.wanted(f.setup.Role)
	}},
	{"role-connect", Setup, tablePart, "`pgwitness run` cannot connect to the database.", func(f *facts) finding {
		if len(f.setup.Role) > 0 && strings.HasPrefix(f.setup.Role[0].SQL, "CREATE ") {
			return skipped("there is no role %s yet", f.role())
		}
		out := f.wanted(f.setup.Connect)
		if out.status == Problem {
			out.text = "role " + f.role() + " may not connect to database " + f.setup.Database
		}
		return out
	}},
	{"audit-table", Setup, anyway, "There is nothing to follow, or its rows never reach the WAL.", func(f *facts) finding {
		switch {
		case f.setup.Table != nil:
			return obstacle(f.setup.Table)
		case f.table == nil:
			return unknown("", "the server would not tell")
		}
		return ok("%s, %s", f.table.Name, size(f.table.bytes()))
	}},
	{"publication", Setup, tablePart, "Rows that it leaves out are not sent.", func(f *facts) finding {
		const operations = 4
		if f.setup.Streams && len(f.setup.Publishes) < operations { // the check of what is published tells
			return ok("publication %s holds %s", f.cfg.Publication, f.table.Name)
		}
		out := f.wanted(f.setup.Publication)
		if out.status == Problem && f.setup.Streams {
			out.status = Warning
		}
		return out
	}},
	{"slot", Setup, tablePart, "What is committed before there is a slot is not streamed.", func(f *facts) finding {
		if f.setup.Slot != nil && !f.lost() {
			return obstacle(f.setup.Slot)
		}
		return f.wanted(f.setup.CreateSlot)
	}},
	{"slot-consumer", Setup, slotPart, "Until somebody streams, nothing is delivered and WAL piles up on the server.", func(f *facts) finding {
		s := f.server.Slot
		if !s.Active {
			return warning("start `pgwitness run`, or drop the slot if it is not needed any more", "nobody streams from slot %s", f.cfg.Slot)
		}
		return ok("role %s streams from slot %s", s.Consumer, f.cfg.Slot)
	}},
	{"slot-lag", Setup, slotPart, "The server keeps WAL for what was not confirmed: the disk may fill, or the slot be lost.", func(f *facts) finding {
		const much = gibi
		s := f.server.Slot
		text := fmt.Sprintf("%s of WAL kept, %s not confirmed", size(s.Retained), size(s.Lag))
		if s.Safe != nil {
			text += fmt.Sprintf(", %s until the slot may be lost", size(*s.Safe))
		}
		if s.Retained >= much || s.Safe != nil && *s.Safe < s.Retained {
			return warning("see the log and /status of `pgwitness run`, and long-transactions here", "%s", text)
		}
		return ok("%s", text)
	}},
	{"slot-wal-limit", Setup, anyway, "Without a limit, a consumer that is away fills the server's disk; with a small one, its slot is soon lost, and rows " +
		"with it. It should be what the disk can bear.", walLimit},
	{"slot-idle-timeout", Setup, anyway, "A slot that nobody follows for that long is invalidated, and what it held is not delivered.", func(f *facts) finding {
		const setting = "idle_replication_slot_timeout"
		n, known := f.server.Settings.number(setting)
		switch {
		case !known:
			return skipped("%s came with PostgreSQL 18", setting)
		case n != 0:
			return warning("ALTER SYSTEM SET "+setting+" = 0; SELECT pg_reload_conf();", "%s is %s", setting, f.server.Settings[setting].Shown)
		}
		return ok("%s is off", setting)
	}},
	{"slot-failover", Setup, slotPart, "After a failover the slot is missing, and rows committed around that time are not delivered.", func(f *facts) finding {
		const since = 17
		switch {
		case f.setup.Major < since:
			return skipped("failover slots came with PostgreSQL %d", since)
		case f.server.Slot.Failover:
			return ok("slot %s outlives a failover", f.cfg.Slot)
		case f.server.Standbys == 0:
			return ok("no standby is known")
		}
		return warning(fmt.Sprintf(`run ALTER_REPLICATION_SLOT %s (FAILOVER true) in psql "dbname=%s replication=database"`, f.cfg.Slot, f.setup.Database),
			"there is a standby, and slot %s is not synchronised to it", f.cfg.Slot)
	}},
	{"failover-order", Setup, slotPart, "What is delivered before a standby has it, the database that the standby becomes does not hold.", func(f *facts) finding {
		const setting = "synchronized_standby_slots"
		switch {
		case !f.server.Slot.Failover:
			return skipped("slot %s is not one for a failover", f.cfg.Slot)
		case f.server.Standbys == 0:
			return ok("no standby is known")
		case f.server.Settings[setting].Value == "":
			return warning("ALTER SYSTEM SET "+setting+" = 'the physical slot of each standby that may be promoted'; SELECT pg_reload_conf();",
				"%s is empty, so rows may be delivered that no standby has yet", setting)
		}
		return ok("%s is %s", setting, f.server.Settings[setting].Value)
	}},
	{"wal-sender-timeout", Setup, anyway, "Off, the server never lets go of a consumer that vanished; very short, a busy one is cut off.", func(f *facts) finding {
		const setting, short = "wal_sender_timeout", 10_000
		n, _ := f.server.Settings.number(setting)
		shown := f.server.Settings[setting].Shown
		if n < short {
			return warning("ALTER SYSTEM SET "+setting+" = '1min'; SELECT pg_reload_conf();", "%s is %s", setting, shown)
		}
		return ok("%s is %s", setting, shown)
	}},
	{"decoding-memory", Setup, slotPart, "Transactions beyond logical_decoding_work_mem are written to disk before they are sent, which takes time and space.", func(f *facts) finding {
		const setting, much = "logical_decoding_work_mem", 100 * mebi
		shown, spill := f.server.Settings[setting].Shown, f.server.Slot.Spill
		if spill.Bytes >= much {
			return warning("raise "+setting+" if the server has the memory", "%s is %s, and %s with %s went to disk", setting, shown,
				count(spill.Transactions, "transaction"), size(spill.Bytes))
		}
		return ok("%s is %s", setting, shown)
	}},
	{"long-transactions", Setup, anyway, "The server keeps all WAL since such a transaction began, and a new slot waits for its end.", func(f *facts) finding {
		if len(f.server.Transactions) > 0 {
			var pids, named []string
			for _, t := range f.server.Transactions {
				pids = append(pids, fmt.Sprintf("SELECT pg_terminate_backend(%d);", t.PID))
				named = append(named, fmt.Sprintf("pid %d (%s, %s, for %s)", t.PID, t.User, t.State, age(t.Seconds)))
			}
			return warning(strings.Join(pids, " "), "%s longer than 5 minutes and has written: %s", verb(len(named), "transaction", "lasts", "last"), few(named))
		}
		if !f.server.SeesSessions {
			return unknown("run pgwitness doctor as a member of pg_read_all_stats", "role %s may not see other roles' transactions", f.server.User)
		}
		return ok("no transaction that has written lasts longer than 5 minutes")
	}},
	{"prepared-transactions", Setup, anyway, "One that is forgotten keeps WAL and dead rows for ever.", func(f *facts) finding {
		const long = 300
		var named []string
		fix := ""
		for _, t := range f.server.Prepared {
			if t.Seconds < long {
				continue
			}
			if named = append(named, fmt.Sprintf("%s (%s, database %s, for %s)", t.GID, t.Owner, t.Database, age(t.Seconds))); fix == "" {
				fix = fmt.Sprintf("COMMIT PREPARED %s or ROLLBACK PREPARED %[1]s, whichever its owner wants", t.GID)
			}
		}
		if len(named) > 0 {
			return warning(fix, "%s prepared and not ended: %s", verb(len(named), "transaction", "is", "are"), few(named))
		}
		return ok("no prepared transaction is older than 5 minutes")
	}},
	{"slot-valid", Evidence, slotPart, "What an invalidated slot had not delivered cannot be delivered from the WAL any more.", func(f *facts) finding {
		s := f.server.Slot
		drop := fmt.Sprintf("run SELECT pg_drop_replication_slot('%s') and then %s, and take what is missing from the table", f.cfg.Slot, f.initCommand())
		switch {
		case s.Invalidation != "":
			return problem(drop, "slot %s was invalidated: %s", f.cfg.Slot, s.Invalidation)
		case f.lost():
			return problem(drop, "slot %s was invalidated: max_slot_wal_keep_size was exceeded", f.cfg.Slot)
		case s.WALStatus == "unreserved":
			return problem("start `pgwitness run` at once, or raise max_slot_wal_keep_size",
				"slot %s is beyond max_slot_wal_keep_size: the next checkpoint may invalidate it", f.cfg.Slot)
		}
		return ok("slot %s is %s", f.cfg.Slot, s.WALStatus)
	}},
	{"tampering-published", Evidence, publicPart, "Whoever changes or deletes audit rows is not seen in the stream.", func(f *facts) finding {
		var lacks []string
		for _, operation := range []string{"update", "delete", "truncate"} {
			if !slices.Contains(f.setup.Publishes, operation) {
				lacks = append(lacks, operation)
			}
		}
		if len(lacks) == 0 {
			return ok("publication %s has update, delete and truncate", f.cfg.Publication)
		}
		fix := f.initCommand()
		if len(f.setup.Publication) > 0 && f.setup.Publication[0].SQL == "" {
			fix = strings.Join(f.setup.Publication[0].Notes, " ")
		}
		return problem(fix, "publication %s does not have %s", f.cfg.Publication, strings.Join(lacks, ", "))
	}},
}

// walLimit looks at max_slot_wal_keep_size, which is in MB.
func walLimit(f *facts) finding {
	const setting, small = "max_slot_wal_keep_size", 1024
	n, _ := f.server.Settings.number(setting)
	shown := f.server.Settings[setting].Shown
	switch {
	case n < 0:
		return warning("ALTER SYSTEM SET "+setting+" = '50GB'; SELECT pg_reload_conf();",
			"%s is unlimited", setting)
	case n < small:
		return warning("ALTER SYSTEM SET "+setting+" = '50GB'; SELECT pg_reload_conf();", "%s is only %s", setting, shown)
	}
	return ok("%s is %s", setting, shown)
}

// wanted is a problem if init has something to do.
func (f *facts) wanted(statements []setup.Statement) finding {
	for _, s := range statements {
		if s.SQL == "" {
			continue
		}
		text := s.Why
		if strings.HasPrefix(s.SQL, "CREATE ") || strings.HasPrefix(s.SQL, "SELECT ") {
			text = s.What + " does not exist"
		}
		return problem(f.initCommand(), "%s", text)
	}
	var said []string
	for _, s := range statements {
		said = append(said, s.What+" "+s.State)
	}
	return ok("%s", strings.Join(said, "; "))
}

func obstacle(o *setup.Obstacle) finding { return problem(o.Remedy, "%s", o.Problem) }
