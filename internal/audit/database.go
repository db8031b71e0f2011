// Package audit looks after the audit table itself: it mends the one that is there, or makes one that an auditor accepts,
// and it puts on and takes off the triggers that write into it. All that it does is SQL, which it shows first; what changes
// the database runs in one transaction. It never deletes an audit row but by retention.
package audit

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
)

// Config says which audit table it is about.
type Config struct {
	// ConnConfig is how the administrator connects to the audit table's database.
	ConnConfig *pgconn.Config
	// Schema and Table name the audit table, spelled as the catalog has them. Default to public and custom_audit_log.
	Schema, Table string
	// LockTimeout is how long a statement may wait for a lock. Defaults to 5s.
	LockTimeout time.Duration
}

// Database is a connection to the audit table's database. It belongs to one goroutine.
type Database struct {
	cfg     Config
	conn    *admin.Conn
	major   int    // the server's version, such as 17
	table   string // the audit table's name, qualified and quoted
	notices []string
}

// connectTimeout bounds dialling, authentication and the first query.
const connectTimeout = 30 * time.Second

// Open connects. The Database must be closed. Errors are those of admin.Connect, and a replication.ErrSetup for a server
// that is too old.
func Open(ctx context.Context, cfg Config) (*Database, error) {
	if cfg.Schema == "" && cfg.Table == "" {
		cfg.Schema, cfg.Table = "public", "custom_audit_log"
	}
	if cfg.LockTimeout <= 0 {
		cfg.LockTimeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	d := &Database{cfg: cfg}
	d.cfg.ConnConfig = cfg.ConnConfig.Copy()
	d.cfg.ConnConfig.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		switch notice.Code {
		case "42P06", "42P07", "42710": // a schema, a table, another object is there already, as IF NOT EXISTS expects
		default:
			d.notices = append(d.notices, notice.Message)
		}
	}
	var err error
	if d.conn, err = admin.Connect(ctx, d.cfg.ConnConfig); err != nil {
		return nil, err
	}
	var server struct {
		Number int    `json:"number"`
		Table  string `json:"table"`
	}
	err = d.conn.JSON(ctx, &server, `SELECT json_build_object('number', current_setting('server_version_num')::int,
		'table', format('%I.%I', $1::text, $2::text))`, []byte(cfg.Schema), []byte(cfg.Table))
	if err != nil {
		d.Close()
		return nil, err
	}
	const oldest = 14
	if d.major, d.table = server.Number/10_000, server.Table; d.major < oldest {
		d.Close()
		return nil, admin.Refuse(replication.ErrSetup, "the server is PostgreSQL %d; pgwitness needs %d or later", d.major, oldest)
	}
	return d, nil
}

// Close closes the connection.
func (d *Database) Close() { d.conn.Close() }

// Script is SQL for a person to read and for Apply to run.
type Script struct {
	// Title says in a sentence what the whole is for.
	Title string
	// Notes are what to know before it is run.
	Notes []string
	// Steps come in the order in which they run; none means that there is nothing to do.
	Steps []Step
	// Next says what to do when it has been run, unless empty.
	Next string
}

// Step is one statement, or several that belong together.
type Step struct {
	// Why says what it is for: the comment before it, and what Apply reports when it is done.
	Why string
	// SQL is the statements, each with its semicolon. It may begin with a comment, which stands for Why then.
	SQL string
	// Part is what several steps in a row make together. Apply reports it once, in place of each Why. Empty for a step that
	// stands for itself.
	Part string
}

// Print writes s as SQL for psql --single-transaction -f.
func (d *Database) Print(w io.Writer, s Script) error {
	var b strings.Builder
	admin.Comment(&b, s.Title)
	for _, note := range s.Notes {
		b.WriteString("--\n")
		admin.Comment(&b, note)
	}
	if len(s.Steps) == 0 {
		admin.Comment(&b, "There is nothing to do.")
	} else {
		admin.Comment(&b, "Run it with psql --single-transaction -v ON_ERROR_STOP=1 -f, or let the same command do it with --apply.")
		fmt.Fprintf(&b, "\n%s;\n", admin.SetLockTimeout(d.cfg.LockTimeout))
	}
	for _, step := range s.Steps {
		b.WriteByte('\n')
		if !strings.HasPrefix(step.SQL, "--") {
			admin.Comment(&b, step.Why)
		}
		b.WriteString(strings.TrimRight(step.SQL, "\n") + "\n")
	}
	if s.Next != "" {
		b.WriteByte('\n')
		admin.Comment(&b, s.Next)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Apply runs s in one transaction, and writes to w what each step was for, as it goes, with what the server remarked. An
// error undoes all of it.
func (d *Database) Apply(ctx context.Context, w io.Writer, s Script) (err error) {
	if err := say(w, s.Notes...); err != nil {
		return err
	}
	if len(s.Steps) == 0 {
		return say(w, "There is nothing to do.", s.Next)
	}
	if _, err := d.conn.Script(ctx, "BEGIN; "+admin.SetLockTimeout(d.cfg.LockTimeout)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = d.conn.Script(context.WithoutCancel(ctx), "ROLLBACK") // a connection that fails at that rolls back by ending
		}
	}()
	part := ""
	for _, step := range s.Steps {
		d.notices = nil
		if _, err := d.conn.Script(ctx, step.SQL); err != nil {
			return explain(step, err)
		}
		var b strings.Builder
		switch {
		case step.Part == "":
			admin.Wrap(&b, "", step.Why)
		case step.Part != part:
			admin.Wrap(&b, "", step.Part)
		}
		part = step.Part
		for _, notice := range d.notices {
			admin.Wrap(&b, "    ", notice)
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	if _, err := d.conn.Script(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return say(w, s.Next)
}

// say writes paragraphs, each folded into lines. Empty ones are left out.
func say(w io.Writer, paragraphs ...string) error {
	var b strings.Builder
	for _, paragraph := range paragraphs {
		if paragraph != "" {
			admin.Wrap(&b, "", paragraph)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
