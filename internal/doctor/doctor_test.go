package doctor

import (
	"context"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/audit"
	"pgwitness/internal/config"
	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/setup"
	"pgwitness/scripts"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// eachVersion runs f with the oldest and the newest server, which has the database shop; with -short with the newest alone.
func eachVersion(t *testing.T, f func(*testing.T, *site)) {
	for _, version := range pgtest.Versions([]int{14, 18}) {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			f(t, newSite(t, version))
		})
	}
}

// site is a server with a database of one table, shop, without any audit.
type site struct {
	*embeddedpg.Server
	version int
	cfg     Config
}

func newSite(t *testing.T, version int) *site {
	t.Helper()
	s := &site{version: version, Server: pgtest.Start(t, embeddedpg.Config{Version: version, Settings: map[string]string{
		"max_prepared_transactions": "5", "max_slot_wal_keep_size": "50GB",
	}})}
	s.exec(t, "postgres", "CREATE DATABASE shop")
	s.exec(t, "shop", "CREATE TABLE shop (id int PRIMARY KEY, column_name text, price numeric); CREATE ROLE app LOGIN PASSWORD 'app'; "+
		"GRANT SELECT, INSERT, UPDATE, DELETE ON shop TO app")
	s.cfg = Config{
		ConnConfig: parse(t, s.DSN("shop")), Schema: "public", Table: "custom_audit_log", Slot: "pgwitness", Publication: "pgwitness",
		Version: "v1.2.3",
	}
	return s
}

// install makes all that pgwitness makes, so that nothing is to be found but that nobody streams.
func (s *site) install(t *testing.T) {
	t.Helper()
	s.exec(t, "shop", "BEGIN; "+scripts.Capture+scripts.Install+"COMMIT")
	s.attach(t)
	s.exec(t, "shop", scripts.Events)
	s.initialize(t)
	s.exec(t, "shop", "INSERT INTO shop VALUES (1, 'a', 1)")
}

const (
	rowTrigger = "CREATE TRIGGER pgwitness_row AFTER INSERT OR UPDATE OR DELETE ON shop FOR EACH ROW EXECUTE FUNCTION pgwitness.capture('id'); " +
		"ALTER TABLE shop ENABLE ALWAYS TRIGGER pgwitness_row;"
	truncateTrigger = "CREATE TRIGGER pgwitness_truncate AFTER TRUNCATE ON shop FOR EACH STATEMENT EXECUTE FUNCTION pgwitness.capture('id'); " +
		"ALTER TABLE shop ENABLE ALWAYS TRIGGER pgwitness_truncate;"
)

// attach does what `pgwitness audit attach public.shop --apply` does.
func (s *site) attach(t *testing.T) {
	t.Helper()
	s.change(t, func(d *audit.Database) (audit.Script, error) {
		return d.Attach(t.Context(), audit.Attach{Tables: []config.Table{{Schema: "public", Name: "shop"}}})
	})
}

// change applies what one of the audit commands makes.
func (s *site) change(t *testing.T, script func(*audit.Database) (audit.Script, error)) {
	t.Helper()
	database, err := audit.Open(t.Context(), audit.Config{ConnConfig: s.cfg.ConnConfig, Schema: s.cfg.Schema, Table: s.cfg.Table})
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	made, err := script(database)
	if err == nil {
		err = database.Apply(t.Context(), io.Discard, made)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// initialize does what `pgwitness init --apply` does.
func (s *site) initialize(t *testing.T) {
	t.Helper()
	made, err := setup.Open(t.Context(), setup.Config{ConnConfig: s.cfg.ConnConfig, Schema: s.cfg.Schema, Table: s.cfg.Table,
		Slot: s.cfg.Slot, Publication: s.cfg.Publication, Role: "pgwitness"})
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	if _, err := made.Apply(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "shop", "ALTER ROLE pgwitness PASSWORD 'pgwitness'")
}

func (s *site) exec(t *testing.T, database, sql string) {
	t.Helper()
	conn, err := pgconn.ConnectConfig(t.Context(), parse(t, s.DSN(database)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

// as returns cfg for another role, whose password is its name.
func (s *site) as(t *testing.T, role string) Config {
	t.Helper()
	dsn, err := url.Parse(s.DSN("shop"))
	if err != nil {
		t.Fatal(err)
	}
	dsn.User = url.UserPassword(role, role)
	cfg := s.cfg
	cfg.ConnConfig = parse(t, dsn.String())
	return cfg
}

func parse(t *testing.T, dsn string) *pgconn.Config {
	t.Helper()
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func examine(t *testing.T, cfg Config) *Report {
	t.Helper()
	report, err := Examine(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// facts reads the facts for a test to change.
func (s *site) facts(t *testing.T) *facts {
	t.Helper()
	conn, err := connect(t.Context(), s.cfg.ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f, err := gather(t.Context(), conn, s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *Report) check(t *testing.T, id string) Check {
	t.Helper()
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("there is no check %s", id)
	}
	return r.Checks[i]
}

// with returns the checks of a status.
func (r *Report) with(statuses ...Status) []string {
	var ids []string
	for _, c := range r.Checks {
		if slices.Contains(statuses, c.Status) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func (c Check) String() string {
	return string(c.Status) + " " + c.ID + ": " + c.Finding + " (" + c.Fix + ")"
}

// wantStatus wants the check to have come out so, with words in its finding or in its fix.
func wantStatus(t *testing.T, c Check, status Status, words ...string) {
	t.Helper()
	if c.Status != status {
		t.Errorf("%v; want %s", c, status)
	}
	for _, word := range words {
		if !strings.Contains(c.Finding+"\n"+c.Fix, word) {
			t.Errorf("%v; does not say %q", c, word)
		}
	}
	if (c.Status == Problem || c.Status == Warning) && (c.Fix == "" || c.Why == "") {
		t.Errorf("%v; says not why, or not what to do", c)
	}
}

// Doctor changes nothing, whatever a statement of its own might say, and waits for nothing.
func TestReadOnly(t *testing.T) {
	s := newSite(t, 18)
	conn, err := connect(t.Context(), s.cfg.ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Script(t.Context(), "INSERT INTO public.shop VALUES (1, 'a', 1)")
	if err == nil || !strings.Contains(err.Error(), "read-only transaction") {
		t.Errorf("writing: %v", err)
	}
	if timeout, err := conn.Text(t.Context(), "SHOW statement_timeout"); err != nil || timeout != statementTimeout {
		t.Errorf("statement_timeout is %q, %v", timeout, err)
	}
}

// Whatever is not there is told, by every check.
func TestNothingThere(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *site) {
		r := examine(t, s.cfg)
		wantStatus(t, r.check(t, "audit-table"), Problem, "table public.custom_audit_log does not exist in database shop")
		if got, want := r.with(Problem), []string{"audit-table"}; !slices.Equal(got, want) {
			t.Errorf("problems: %v, want %v", got, want)
		}
		if got := r.with(Unknown); len(got) > 0 {
			t.Errorf("unknown: %v", got)
		}
		total := r.Summary.OK + r.Summary.Warnings + r.Summary.Problems + r.Summary.Unknown + r.Summary.Skipped
		if total != len(checks()) || r.Database != "shop" || r.Version != "v1.2.3" || !strings.HasPrefix(r.Server, strconv.Itoa(s.version)) {
			t.Errorf("%d checks of %d; %+v", total, len(checks()), r)
		}
	})
}

// Each defect of the seed has a name.
func TestSeed(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *site) {
		s.exec(t, "shop", strings.ReplaceAll(scripts.Seed, "your_table", "shop")+
			"; GRANT INSERT ON custom_audit_log TO app; GRANT USAGE ON SEQUENCE custom_audit_log_id_seq TO app")
		s.initialize(t)
		s.exec(t, "shop", "INSERT INTO shop VALUES (1, 'a', 1)")
		r := examine(t, s.cfg)
		const harden, function = "pgwitness audit harden --apply", "public.custom_audit_trigger_function()"
		for id, words := range map[string][]string{
			"delete-image":        {function, harden},
			"old-image":           {function, harden},
			"whole-row":           {function + " records the columns column_name, id by name", harden},
			"column-lengths":      {"event_type (50), user_name (50), table_name (50)", harden},
			"time-zone":           {"event_timestamp has no time zone", harden},
			"search-path":         {function, harden},
			"definer":             {function, harden},
			"trigger-always":      {"public.shop", harden},
			"trigger-truncate":    {"public.shop", harden},
			"insert-privilege":    {"app (INSERT on public.custom_audit_log)", harden},
			"sequence-privileges": {"app (USAGE on public.custom_audit_log_id_seq)", harden},
			"owner":               {"belongs to postgres, who can log in, a superuser", harden},
			"guard":               {"public.custom_audit_log", harden},
			"function-owner":      {function + " belongs to postgres", harden},
			"temp-diversion":      {"PUBLIC may make temporary tables", harden},
		} {
			wantStatus(t, r.check(t, id), Problem, words...)
		}
		for id, words := range map[string][]string{
			"slot-consumer":  {"nobody streams from slot pgwitness"},
			"no-op-updates":  {function, harden},
			"who":            {"current_user and not session_user", harden},
			"settings":       {"does not set TimeZone, DateStyle, IntervalStyle, bytea_output, extra_float_digits", harden},
			"id-range":       {"id is integer: less than 1 % of 2147483647 numbers used", "pgwitness audit harden --rewrite --apply"},
			"event-triggers": {"pgwitness audit events --apply"},
			"large-values":   {"records values of any size", harden},
		} {
			wantStatus(t, r.check(t, id), Warning, words...)
		}
		if setup, others := r.Problems(); setup != 0 || others != 15 {
			t.Errorf("problems: %d of the set-up and %d others: %v", setup, others, r.with(Problem))
		}
		if got := r.with(Warning); len(got) != 7 {
			t.Errorf("warnings: %v", got)
		}
	})
}

// What doctor names is mended by the commands that it names.
func TestMended(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *site) {
		s.exec(t, "shop", strings.NewReplacer("your_table", "shop", "custom_audit_trigger_function", "note_change").Replace(scripts.Seed)+
			"; GRANT INSERT ON custom_audit_log TO app; GRANT USAGE ON SEQUENCE custom_audit_log_id_seq TO app")
		s.initialize(t)
		s.exec(t, "shop", "INSERT INTO shop VALUES (1, 'a', 1)")
		if c := examine(t, s.cfg).check(t, "delete-image"); c.Fix != "pgwitness audit harden --function public.note_change --apply" {
			t.Errorf("the fix: %s", c.Fix)
		}
		s.change(t, func(d *audit.Database) (audit.Script, error) {
			return d.Harden(t.Context(), audit.Harden{Functions: []string{"public.note_change"}, Rewrite: true, TimeZone: "UTC"})
		})
		s.change(t, func(d *audit.Database) (audit.Script, error) { return d.Events(t.Context(), audit.Events{DDL: true}) })
		if got, want := examine(t, s.cfg).with(Problem, Warning, Unknown), []string{"slot-consumer"}; !slices.Equal(got, want) {
			t.Errorf("still not ok after harden: %v, want %v", got, want)
		}
		s.change(t, func(d *audit.Database) (audit.Script, error) {
			return d.Install(t.Context(), []string{"public.note_change"})
		})
		if got, want := examine(t, s.cfg).with(Problem, Warning, Unknown), []string{"slot-consumer", "replaced-table"}; !slices.Equal(got, want) {
			t.Errorf("still not ok after install: %v, want %v", got, want)
		}
	})
}

// The least that `pgwitness run` needs is enough to make most checks, and those that it cannot make say so.
func TestStreamingRole(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *site) {
		s.install(t)
		r := examine(t, s.as(t, "pgwitness"))
		for _, id := range []string{"long-transactions", "oldest-row", "retention-run"} {
			wantStatus(t, r.check(t, id), Unknown, "role pgwitness may not", "run pgwitness doctor as")
		}
		if got := r.with(Problem); len(got) > 0 {
			t.Errorf("problems: %v", got)
		}
		if r.Role != "pgwitness" {
			t.Errorf("role %s", r.Role)
		}
		// A row in the default partition can be seen to be there, but not how many.
		s.exec(t, "shop", late)
		wantStatus(t, examine(t, s.as(t, "pgwitness")).check(t, "default-partition"), Unknown, "may hold rows")
	})
}

// late is an audit row for which there is no partition.
const late = `INSERT INTO custom_audit_log (id, event_type, event_timestamp, user_name, session_user_name, tx_id)
	VALUES (-1, 'INSERT', current_timestamp - interval '2 years', 'app', 'app', 1);`
