package doctor

import (
	_ "embed"
	"fmt"
	"slices"
	"time"

	"pgwitness/internal/admin"
	"pgwitness/internal/audit"
	"pgwitness/internal/setup"
)

// part is a part of the facts that may be missing.
type part int

const (
	anyway        part = iota // what every role can see
	slotPart                  // the slot
	tablePart                 // the audit table
	publicPart                // the publication
	triggerPart               // the functions that write the table
	powerPart                 // who could get past everything
	setterPart                // who may set session_replication_role
	rowPart                   // rows of the audit table
	retentionPart             // what retention left
	coveragePart              // what is attached
)

// facts are what was found. A nil part is in absent too, with what that means for a check.
type facts struct {
	cfg       Config
	now       time.Time
	absent    map[part]finding
	setup     *setup.Examination
	server    *server
	table     *table
	functions []function // that write the table, whether a trigger calls them or not
	power     *power
	setters   []string
	rows      *rows
	retention bool // a run of retention left its row
	coverage  audit.Coverage
}

type server struct {
	User         string  `json:"user"`
	Superuser    bool    `json:"superuser"`
	Replicates   bool    `json:"replicates"`
	SeesSessions bool    `json:"sees_sessions"`
	Remote       bool    `json:"remote"`
	TLS          bool    `json:"tls"`
	TimeZone     string  `json:"time_zone"` // before this session set its own
	Standbys     int     `json:"standbys"`
	Slot         *slot   `json:"slot"`
	Prepared     []xact  `json:"prepared"`
	Transactions []xact  `json:"transactions"`
	Settings     setting `json:"settings"`
}

// setting has the settings that the server knows, by name.
type setting map[string]struct {
	Value string `json:"value"` // in the setting's base unit
	Shown string `json:"shown"` // with a unit
}

// number is a setting's value in its base unit, false if the server does not know it.
func (s setting) number(name string) (n int64, known bool) {
	_, err := fmt.Sscan(s[name].Value, &n)
	return n, err == nil
}

type slot struct {
	Active       bool   `json:"active"`
	Plugin       string `json:"plugin"`
	WALStatus    string `json:"wal_status"`
	Invalidation string `json:"invalidation_reason"` // PostgreSQL 17 and later
	Failover     bool   `json:"failover"`            // PostgreSQL 17 and later
	Retained     int64  `json:"retained"`            // bytes
	Lag          int64  `json:"lag"`                 // bytes
	Safe         *int64 `json:"safe_wal_size"`       // bytes
	Consumer     string `json:"consumer"`
	Spill        struct {
		Transactions int64 `json:"spill_txns"`
		Bytes        int64 `json:"spill_bytes"`
	} `json:"spill"`
}

// xact is a transaction that lasts, a session's or a prepared one.
type xact struct {
	PID         int     `json:"pid"`
	User        string  `json:"user"`
	Application string  `json:"application"`
	Database    string  `json:"database"`
	State       string  `json:"state"`
	GID         string  `json:"gid"` // a literal
	Owner       string  `json:"owner"`
	Seconds     float64 `json:"seconds"`
}

type account struct {
	Name      string `json:"name"`
	Quoted    string `json:"quoted"`
	Login     bool   `json:"login"`
	Superuser bool   `json:"superuser"`
}

type table struct {
	Name            string     `json:"name"` // qualified and quoted, as all names of relations
	Partitioned     bool       `json:"partitioned"`
	ReplicaIdentity string     `json:"replica_identity"`
	Owner           account    `json:"owner"`
	OwnerMembers    []string   `json:"owner_members"`
	Readable        bool       `json:"readable"`
	Columns         []column   `json:"columns"`
	Key             []string   `json:"key"`
	Sequence        *sequence  `json:"sequence"`
	Relations       []relation `json:"relations"`
	Indexes         []index    `json:"indexes"`
	Grants          []grant    `json:"grants"`
	WriteAll        []string   `json:"write_all"`
	Interceptors    []string   `json:"interceptors"`
	Rules           []string   `json:"rules"`
	Replaced        *string    `json:"replaced"`
	DefaultName     string     `json:"default_name"` // what the default partition is called, or would be
}

type column struct {
	Name   string `json:"name"`
	Quoted string `json:"quoted"`
	Type   string `json:"type"`
	Length int    `json:"length"` // the most characters, 0 for no limit
}

type sequence struct {
	Name   string `json:"name"`
	Column string `json:"column"`
	Type   string `json:"type"`
	Max    int64  `json:"max"`
	Cycles bool   `json:"cycles"`
	Last   *int64 `json:"last"` // nil without the right to see it, too
}

// relation is the audit table, which is the first, or one of its partitions.
type relation struct {
	Name          string `json:"name"`
	Root          bool   `json:"root"`
	Kind          string `json:"kind"`
	Bound         string `json:"bound"`
	Default       bool   `json:"default"`
	RowSecurity   bool   `json:"row_security"`
	Forced        bool   `json:"forced"`
	FullIdentity  bool   `json:"full_identity"`
	AutovacuumOff bool   `json:"autovacuum_off"`
	Bytes         int64  `json:"bytes"`
	HeapBytes     int64  `json:"heap_bytes"`
	Rows          *int64 `json:"rows"` // the planner's estimate
	Guard         *struct {
		Enabled  string `json:"enabled"`
		Function string `json:"function"`
		Type     int    `json:"type"`
	} `json:"guard"`
}

type index struct {
	Name    string   `json:"name"`
	Method  string   `json:"method"`
	Primary bool     `json:"primary"`
	Valid   bool     `json:"valid"`
	Columns []string `json:"columns"`
}

type grant struct {
	Relation  string `json:"relation"`
	Privilege string `json:"privilege"`
	Grantee   string `json:"grantee"`
	Quoted    string `json:"quoted"`
}

// power is who could get past everything.
type power struct {
	Superusers []string `json:"superusers"`
	Temporary  []string `json:"temporary"`
	Installed  bool     `json:"installed"` // the schema pgwitness is there
	Executable []string `json:"executable"`
	MaskKey    *struct {
		Readers []string `json:"readers"`
	} `json:"mask_key"`
}

// rows is what the table's first and last row say.
type rows struct {
	Oldest   *float64 `json:"oldest"` // seconds ago; nil if there is no row, or none with a time
	Newest   *float64 `json:"newest"`
	LastID   *int64   `json:"last_id"`
	FirstID  *int64   `json:"first_id"`
	Stranded int64    `json:"stranded"` // rows in the default partition, counted up to strandedMost
}

var (
	//go:embed server.sql
	serverQuery string
	//go:embed table.sql
	tableQuery string
	//go:embed capture.sql
	captureQuery string
	//go:embed power.sql
	powerQuery string
	//go:embed setters.sql
	settersQuery string
)

// column returns the column of that name, nil if there is none.
func (t *table) column(name string) *column {
	i := slices.IndexFunc(t.Columns, func(c column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Columns[i]
}

// bytes is the size of the table with all partitions, indexes and oversized values.
func (t *table) bytes() (total int64) {
	for _, r := range t.Relations {
		total += r.Bytes
	}
	return total
}

// command is a command of ours that is about the table at hand.
func (f *facts) command(words string) string {
	if name := f.cfg.Schema + "." + f.cfg.Table; name != "public.custom_audit_log" && f.table != nil {
		words += " --table " + admin.QuoteShell(f.table.Name)
	}
	return "pgwitness " + words
}

// initCommand is the one that makes what is missing for the stream.
func (f *facts) initCommand() string {
	words := "init"
	for _, o := range []struct{ flag, value string }{{"--slot", f.cfg.Slot}, {"--publication", f.cfg.Publication}, {"--role", f.role()}} {
		if o.value != "pgwitness" {
			words += " " + o.flag + " " + admin.QuoteShell(o.value)
		}
	}
	return f.command(words + " --apply")
}
