package setup

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"pgwitness/internal/admin"
)

// server is what the server says about itself. It is asked first: an older one does not know the catalog's columns.
type server struct {
	Version    string `json:"version"` // such as "17.6"
	Number     int    `json:"number"`  // such as 170006
	Standby    bool   `json:"standby"`
	WALLevel   string `json:"wal_level"`
	Slots      int    `json:"slots"`
	MaxSlots   int    `json:"max_slots"`
	Senders    int    `json:"senders"`
	MaxSenders int    `json:"max_senders"`
	Database   string `json:"database"`
}

func (s *server) major() int { return s.Number / 10_000 }

const serverQuery = `SELECT json_build_object(
 'version', split_part(current_setting('server_version'), ' ', 1),
 'number', current_setting('server_version_num')::int,
 'standby', pg_is_in_recovery(),
 'wal_level', current_setting('wal_level'),
 'slots', (SELECT count(*) FROM pg_replication_slots),
 'max_slots', current_setting('max_replication_slots')::int,
 'senders', (SELECT count(*) FROM pg_stat_replication),
 'max_senders', current_setting('max_wal_senders')::int,
 'database', current_database())`

// catalog is what there is of everything that is needed. A nil part does not exist.
type catalog struct {
	Names         names         `json:"names"`
	Admin         administrator `json:"admin"`
	PublicConnect bool          `json:"public_connect"`
	RDS           bool          `json:"rds"` // Amazon's: REPLICATION is given by membership in rds_replication
	Role          *role         `json:"role"`
	Table         *table        `json:"table"`
	Publication   *publication  `json:"publication"`
	Slot          *slot         `json:"slot"`
}

// names are quoted by the server, which knows its reserved words: identifiers where they need it, literals always.
type names struct {
	Table              string `json:"table"` // qualified
	SchemaLiteral      string `json:"schema_literal"`
	TableLiteral       string `json:"table_literal"`
	Role               string `json:"role"`
	Publication        string `json:"publication"`
	PublicationLiteral string `json:"publication_literal"`
	Database           string `json:"database"`
}

// administrator is the role that init connects as, and what it may do.
type administrator struct {
	Name        string `json:"name"`
	CreateRole  bool   `json:"create_role"`
	Replication bool   `json:"replication"`
	Create      bool   `json:"create"` // CREATE on the database
	Grant       bool   `json:"grant"`  // may grant CONNECT on the database
}

type role struct {
	Login       bool `json:"login"`
	Replication bool `json:"replication"`
	Connect     bool `json:"connect"`
}

type table struct {
	Kind        string     `json:"kind"`
	Persistence string     `json:"persistence"`
	Owned       bool       `json:"owned"`    // by the administrator
	Children    bool       `json:"children"` // by inheritance
	Stored      bool       `json:"stored"`   // has stored generated columns
	Relations   []relation `json:"relations"`
}

// relation is the audit table, which is the first, or one of its partitions.
type relation struct {
	Name        string `json:"name"` // qualified and quoted
	Kind        string `json:"kind"`
	Persistence string `json:"persistence"`
	Identity    bool   `json:"identity"` // UPDATE and DELETE may be published
}

type publication struct {
	AllTables bool `json:"puballtables"`
	Insert    bool `json:"pubinsert"`
	Update    bool `json:"pubupdate"`
	Delete    bool `json:"pubdelete"`
	Truncate  bool `json:"pubtruncate"`
	ViaRoot   bool `json:"pubviaroot"`
	// Generated is "s" if stored generated columns are published; PostgreSQL 18 and later have it.
	Generated string `json:"pubgencols"`
	Owned     bool   `json:"owned"`     // by the administrator
	Published bool   `json:"published"` // holds the audit table itself, not only its partitions
	Others    int    `json:"others"`    // tables beside the audit table and its partitions
	// Member is the table's own entry, nil where it is published by FOR ALL TABLES or with its schema.
	Member *struct {
		Filter  json.RawMessage `json:"prqual"`
		Columns json.RawMessage `json:"prattrs"`
	} `json:"member"`
}

// partial says whether the publication leaves out rows or columns of the table.
func (p *publication) partial() bool {
	return p.Member != nil && (isSet(p.Member.Filter) || isSet(p.Member.Columns))
}

// shared says whether the publication is not the audit table's alone.
func (p *publication) shared() bool {
	return p.AllTables || p.Others > 0 || p.Published && p.Member == nil
}

type slot struct {
	Plugin       string `json:"plugin"`
	Type         string `json:"slot_type"`
	Database     string `json:"database"`
	Temporary    bool   `json:"temporary"`
	Active       bool   `json:"active"`
	TwoPhase     bool   `json:"two_phase"`
	WALStatus    string `json:"wal_status"`
	Failover     bool   `json:"failover"`            // PostgreSQL 17 and later
	Invalidation string `json:"invalidation_reason"` // PostgreSQL 17 and later
}

// isSet says whether a column of the catalog is there and not null.
func isSet(column json.RawMessage) bool { return len(column) > 0 && string(column) != "null" }

//go:embed catalog.sql
var catalogQuery string

func readServer(ctx context.Context, conn *admin.Conn) (*server, error) {
	s := new(server)
	if err := conn.JSON(ctx, s, serverQuery); err != nil {
		return nil, fmt.Errorf("asking the server for its settings: %w", err)
	}
	return s, nil
}

func readCatalog(ctx context.Context, conn *admin.Conn, cfg Config) (*catalog, error) {
	c := new(catalog)
	err := conn.JSON(ctx, c, catalogQuery,
		[]byte(cfg.Schema), []byte(cfg.Table), []byte(cfg.Role), []byte(cfg.Publication), []byte(cfg.Slot))
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	return c, nil
}
