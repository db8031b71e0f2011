package setup

import (
	"context"
	"errors"

	"pgwitness/internal/admin"
)

// Examination is what a database has and lacks of what pgwitness needs, for who wants to know all of it at once. Nothing
// in it depends on rights: it is read from catalogs that everybody may read.
type Examination struct {
	// Version is the server's, such as "17.6", and Major its first number.
	Version string
	Major   int
	// Standby says whether the server is one.
	Standby bool
	// WALLevel is the setting wal_level.
	WALLevel string
	// Slots and Senders are those in use, MaxSlots and MaxSenders how many there can be.
	Slots, MaxSlots, Senders, MaxSenders int
	// Database is the database's name.
	Database string
	// Table and Slot are what is in the way of using the audit table and the slot of that name; nil if nothing is.
	Table, Slot *Obstacle
	// Streams says whether the publication is enough for run: it sends every row that is inserted, whole. Publishes are its
	// operations, such as "insert"; nil if there is none.
	Streams   bool
	Publishes []string
	// Role, Connect, Publication and CreateSlot are what init would do for each, or what there is already. Without a table
	// they are empty.
	Role, Connect, Publication, CreateSlot []Statement
}

// Statement is one thing that must be there.
type Statement struct {
	// What is the thing, such as "role pgwitness". State is what it is, or would be once SQL has run.
	What, State string
	// SQL makes it right, without a semicolon at the end; empty if it is right.
	SQL string
	// Why says what is wrong with it now, or what it is for.
	Why string
	// Notes are what else to know about it, one sentence each.
	Notes []string
}

// Examine looks at the database that conn is connected to, which may be a standby's, as anybody. It changes nothing. Of a
// server that is too old it returns the server's facts alone.
func Examine(ctx context.Context, conn *admin.Conn, cfg Config) (*Examination, error) {
	s := &Setup{cfg: cfg, conn: conn}
	var err error
	if s.server, err = readServer(ctx, conn); err != nil {
		return nil, err
	}
	e := &Examination{
		Version: s.server.Version, Major: s.server.major(), Standby: s.server.Standby, WALLevel: s.server.WALLevel,
		Slots: s.server.Slots, MaxSlots: s.server.MaxSlots, Senders: s.server.Senders, MaxSenders: s.server.MaxSenders,
		Database: s.server.Database,
	}
	if s.server.major() < oldestVersion {
		return e, nil
	}
	if s.catalog, err = readCatalog(ctx, conn, cfg); err != nil {
		return nil, err
	}
	table := s.missingTable
	if s.catalog.Table != nil {
		table = func(context.Context) error { return s.checkTable() }
	}
	if err := table(ctx); err != nil && !errors.As(err, &e.Table) {
		return nil, err
	}
	if err := s.checkSlot(); err != nil && !errors.As(err, &e.Slot) {
		return nil, err
	}
	if e.Table != nil {
		return e, nil
	}
	p := planner{cfg, s.server, s.catalog}
	if have := s.catalog.Publication; have != nil {
		e.Streams = have.Published && have.Insert && !have.partial() && (have.ViaRoot || s.catalog.Table.Kind != "p")
		e.Publishes = have.operations()
	}
	e.Role, e.Connect, e.Publication, e.CreateSlot = statements(p.role()), statements(p.connect()), statements(p.publication()), statements(p.slot())
	return e, nil
}

func statements(steps []step) []Statement {
	all := make([]Statement, len(steps))
	for i, s := range steps {
		all[i] = Statement{What: s.what, State: s.state, SQL: s.sql, Why: s.why, Notes: s.notes}
	}
	return all
}
