package doctor

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

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

const strandedMost = 1000

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

// gather reads the facts. What cannot be read is absent; an error is of the connection, or of what every role may read.
func gather(ctx context.Context, conn *admin.Conn, cfg Config) (*facts, error) {
	f := &facts{cfg: cfg, now: time.Now(), absent: map[part]finding{}, server: new(server)}
	if err := conn.JSON(ctx, f.server, serverQuery, []byte(cfg.Slot)); err != nil {
		return nil, fmt.Errorf("asking the server about itself: %w", err)
	}
	var err error
	f.setup, err = setup.Examine(ctx, conn, setup.Config{
		Schema: cfg.Schema, Table: cfg.Table, Slot: cfg.Slot, Publication: cfg.Publication, Role: f.role(),
	})
	if err != nil {
		return nil, err
	}
	if f.server.Slot == nil || f.setup.Slot != nil && !f.lost() {
		f.absent[slotPart] = skipped("there is no slot %s that could be used", cfg.Slot)
	}
	if err := f.read(ctx, conn, tablePart, &f.table, tableQuery, cfg.Schema, cfg.Table); err != nil {
		return nil, err
	}
	if err := f.read(ctx, conn, powerPart, &f.power, powerQuery); err != nil {
		return nil, err
	}
	const parameters = 15 // the first version with rights on settings
	f.absent[setterPart] = skipped("none but superusers can be given that right before PostgreSQL %d", parameters)
	if f.setup.Major >= parameters {
		delete(f.absent, setterPart)
		if err := f.read(ctx, conn, setterPart, &f.setters, settersQuery); err != nil {
			return nil, err
		}
	}
	if f.table == nil {
		none := skipped("there is no table %s.%s", cfg.Schema, cfg.Table)
		for _, p := range []part{tablePart, publicPart, triggerPart, rowPart, retentionPart, coveragePart} {
			if _, told := f.absent[p]; !told {
				f.absent[p] = none
			}
		}
		return f, nil
	}
	if f.setup.Publishes == nil {
		f.absent[publicPart] = skipped("there is no publication %s", cfg.Publication)
	}
	if err := f.readFunctions(ctx, conn); err != nil {
		return nil, err
	}
	if err := f.readRows(ctx, conn); err != nil {
		return nil, err
	}
	f.readCoverage(ctx)
	return f, nil
}

// role is the one that streams, or will.
func (f *facts) role() string {
	switch {
	case f.cfg.Role != "":
		return f.cfg.Role
	case f.server.Slot != nil && f.server.Slot.Consumer != "":
		return f.server.Slot.Consumer
	case f.server.Replicates && !f.server.Superuser:
		return f.server.User
	}
	return "pgwitness"
}

func (f *facts) lost() bool {
	s := f.server.Slot
	return s != nil && (s.WALStatus == "lost" || s.Invalidation != "")
}

// read reads a part, which is absent if the role may not read it or if that would take too long.
func (f *facts) read(ctx context.Context, conn *admin.Conn, p part, target any, sql string, args ...string) error {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	text, err := conn.Text(ctx, sql, values...)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		if pgErr.Code[:2] == "08" || pgErr.Code[:3] == "57P" {
			return err // the connection is lost
		}
		f.absent[p] = unknown("", "the server would not tell: %s", pgErr.Message)
		const insufficientRights, cancelled = "42501", "57014"
		switch pgErr.Code {
		case insufficientRights:
			f.absent[p] = unknown(asAdministrator, "role %s may not read it: %s", f.server.User, pgErr.Message)
		case cancelled:
			f.absent[p] = unknown("", "it would have taken longer than %s", statementTimeout)
		}
		return nil
	}
	if err != nil || text == "" {
		return err
	}
	return json.Unmarshal([]byte(text), target)
}

const asAdministrator = "run pgwitness doctor as a superuser, or as a role that may read it"

// readFunctions reads which functions write the table, by their source.
func (f *facts) readFunctions(ctx context.Context, conn *admin.Conn) error {
	var named []function
	if err := f.read(ctx, conn, triggerPart, &named, captureQuery, f.cfg.Table); err != nil {
		return err
	}
	writes := regexp.MustCompile(`(?i)\binsert\s+into\s+("?` + regexp.QuoteMeta(f.cfg.Schema) + `"?\s*\.\s*)?"?` +
		regexp.QuoteMeta(f.cfg.Table) + `"?(\W|$)`)
	for _, fn := range named {
		fn.code = withoutComments(fn.Source)
		if match := writes.FindStringSubmatch(fn.code); match != nil {
			fn.qualified = match[1] != ""
			f.functions = append(f.functions, fn)
		}
	}
	if _, absent := f.absent[triggerPart]; !absent && len(f.capturing()) == 0 {
		f.absent[triggerPart] = skipped("no trigger is known that writes %s", f.table.Name)
	}
	return nil
}

// readRows reads the first and the last row, by the primary key, which costs next to nothing however large the table is.
func (f *facts) readRows(ctx context.Context, conn *admin.Conn) error {
	when := f.table.column("event_timestamp")
	switch {
	case !f.table.Readable:
		f.absent[rowPart] = unknown(asAdministrator, "role %s may not read all of %s", f.server.User, f.table.Name)
	case when == nil || !strings.HasPrefix(when.Type, "timestamp"):
		f.absent[rowPart] = skipped("%s has no column event_timestamp with a time", f.table.Name)
	case len(f.table.Key) == 0:
		f.absent[rowPart] = unknown("", "%s has no primary key, by which its first and last row could be found", f.table.Name)
	}
	if absent, is := f.absent[rowPart]; is {
		f.absent[retentionPart] = absent
		return nil
	}
	key := f.table.column(f.table.Key[0])
	id := "NULL"
	if slices.Contains([]string{"bigint", "integer", "smallint"}, key.Type) {
		id = key.Quoted
	}
	stranded := "0"
	for _, r := range f.table.Relations {
		if r.Default && r.HeapBytes > 0 {
			stranded = fmt.Sprintf("(SELECT count(*) FROM (SELECT FROM %s LIMIT %d) d)", r.Name, strandedMost)
		}
	}
	query := fmt.Sprintf(`WITH edge AS (
    SELECT true AS first, e.* FROM (SELECT %[1]s AS at, %[2]s AS id FROM %[4]s ORDER BY %[3]s LIMIT 1) e
    UNION ALL
    SELECT false, e.* FROM (SELECT %[1]s, %[2]s FROM %[4]s ORDER BY %[3]s DESC LIMIT 1) e
)
SELECT json_build_object(
    'oldest', (SELECT extract(epoch FROM current_timestamp - at) FROM edge WHERE first),
    'newest', (SELECT extract(epoch FROM current_timestamp - at) FROM edge WHERE NOT first),
    'first_id', (SELECT id FROM edge WHERE first), 'last_id', (SELECT id FROM edge WHERE NOT first),
    'stranded', %[5]s)`, when.Quoted, id, key.Quoted, f.table.Name, stranded)
	if err := f.read(ctx, conn, rowPart, &f.rows, query); err != nil {
		return err
	}
	if f.table.column("event_type") == nil {
		f.absent[retentionPart] = skipped("%s has no column event_type", f.table.Name)
		return nil
	}
	// It scans what is not partitioned: within statement_timeout, or not at all.
	query = fmt.Sprintf(`SELECT to_json(EXISTS (SELECT FROM %s WHERE event_type = 'RETENTION'
    AND %s > current_timestamp - interval '62 days'))`, f.table.Name, when.Quoted)
	return f.read(ctx, conn, retentionPart, &f.retention, query)
}

// readCoverage has package audit look at the tables, on a connection of its own that only reads as well.
func (f *facts) readCoverage(ctx context.Context) {
	if f.setup.Standby {
		f.absent[coveragePart] = unknown("", "a standby is not asked for what is attached")
		return
	}
	const patience = 15 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cfg := f.cfg.ConnConfig.Copy()
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	database, err := audit.Open(ctx, audit.Config{ConnConfig: cfg, Schema: f.cfg.Schema, Table: f.cfg.Table})
	if err == nil {
		defer database.Close()
		f.coverage, err = database.Coverage(ctx)
	}
	if err != nil {
		f.absent[coveragePart] = unknown(f.command("audit coverage"), "it could not be found out: %v", err)
	}
}

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
