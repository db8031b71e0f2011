package setup

import (
	"fmt"
	"slices"
)

// step is one thing that must be there, with the statement that makes it.
type step struct {
	what  string   // the thing, such as "role pgwitness"
	state string   // what it is: already, where there is no statement, and otherwise once the statement has run
	why   string   // what the statement is for
	sql   string   // the statement, without a semicolon at the end; empty if nothing is to be done
	notes []string // what to know about it
	lacks []string // the rights for the statement that the administrator does not have
	slot  bool     // makes the slot
}

// planner works out the steps from what there is.
type planner struct {
	cfg     Config
	server  *server
	catalog *catalog
}

// plan returns the steps in the order in which they must run: the publication before the slot, because a slot sees the
// catalog as it was when the slot was made.
func plan(cfg Config, s *server, c *catalog) []step {
	p := planner{cfg, s, c}
	return slices.Concat(p.role(), p.connect(), p.publication(), p.slot())
}

func (p planner) role() []step {
	what, name := "role "+p.catalog.Names.Role, p.catalog.Names.Role
	have := p.catalog.Role
	if have != nil && have.Login && have.Replication {
		return []step{{what: what, state: "exists with LOGIN REPLICATION"}}
	}
	made := step{
		what: what, state: "now has", sql: "ALTER ROLE " + name,
		why: "The role that `pgwitness run` connects as is there already, but not with all it needs.",
	}
	if have == nil {
		have = new(role)
		made.state = "created with"
		made.sql = "CREATE ROLE " + name
		made.why = "The role that `pgwitness run` connects as. LOGIN and REPLICATION are all it needs: no right on any table."
		made.notes = []string{fmt.Sprintf(`It has no password yet. In psql, \password %s asks for one and sends it encrypted.`, name)}
	}
	if !p.catalog.Admin.CreateRole {
		made.lacks = []string{"CREATEROLE (before PostgreSQL 16, SUPERUSER)"}
	}
	attributes := ""
	if !have.Login {
		attributes += " LOGIN"
	}
	if !have.Replication && !p.catalog.RDS {
		attributes += " REPLICATION"
	}
	var steps []step
	if attributes != "" {
		made.state += attributes
		made.sql += attributes
		steps = append(steps, made)
	}
	if !have.Replication && p.catalog.RDS {
		steps = append(steps, step{
			what: what, state: "is a member of rds_replication",
			why: "Amazon RDS and Aurora give the right to replicate by this membership.",
			sql: "GRANT rds_replication TO " + name,
		})
	}
	return steps
}

func (p planner) connect() []step {
	s := step{
		what: "database " + p.catalog.Names.Database, state: "lets role " + p.catalog.Names.Role + " connect",
		why: "Every role may connect, unless CONNECT was taken from PUBLIC. This one may in any case.",
		sql: "GRANT CONNECT ON DATABASE " + p.catalog.Names.Database + " TO " + p.catalog.Names.Role,
	}
	granted := p.catalog.Role != nil && p.catalog.Role.Connect
	switch {
	case granted, p.catalog.PublicConnect && !p.catalog.Admin.Grant:
		s.sql = ""
	case !p.catalog.Admin.Grant:
		s.lacks = []string{"ownership of database " + p.catalog.Names.Database}
	}
	return []step{s}
}

func (p planner) slot() []step {
	s := step{what: "slot " + p.cfg.Slot, state: "exists"}
	if p.catalog.Slot != nil {
		return []step{s}
	}
	s.slot = true
	s.state = "created"
	s.why = "Where the server remembers what has been confirmed. It keeps all WAL since then: start `pgwitness run` soon, and " +
		"drop the slot if you change your mind. Making it waits for the transactions that are writing now. It is made only " +
		"if the publication holds the table."
	failover := ""
	switch {
	case p.cfg.Failover:
		failover = ", failover => true"
	case p.server.major() >= failoverVersion:
		s.notes = []string{"If this server has standbys, --failover makes a slot that outlives a failover."}
	}
	// In the target list it is evaluated for a row that was found; as a function in FROM, it might be evaluated first.
	s.sql = fmt.Sprintf("SELECT (pg_catalog.pg_create_logical_replication_slot('%s', 'pgoutput'%s)).lsn\n"+
		"    FROM pg_catalog.pg_publication_tables\n    WHERE pubname = %s AND schemaname = %s AND tablename = %s",
		p.cfg.Slot, failover, p.catalog.Names.PublicationLiteral, p.catalog.Names.SchemaLiteral, p.catalog.Names.TableLiteral)
	if !p.catalog.Admin.Replication {
		s.lacks = []string{"REPLICATION (on Amazon RDS, membership in rds_replication)"}
	}
	return []step{s}
}
