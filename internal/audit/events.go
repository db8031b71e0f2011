package audit

import (
	"context"
	"fmt"
	"slices"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
	"pgwitness/scripts"
)

// Events says of what, besides rows, there are to be audit rows.
type Events struct {
	// DDL is every command that creates, alters, grants or drops an object of the database.
	DDL bool
	// Login is every login to the database, from PostgreSQL 17.
	Login bool
}

// oldestLogin is the first version with an event trigger for logins.
const oldestLogin = 17

// eventTriggers are what the catalog has of them.
type eventTriggers struct {
	// Ready is whether the audit table and the functions' owner are there for them.
	Ready bool `json:"ready"`
	// Sound are those that call the function of ours, for all tags, whatever session_replication_role is.
	Sound []string `json:"sound"`
	// Any is whether there is something to take off.
	Any bool `json:"any"`
}

const eventTriggersQuery = `SELECT json_build_object(
	'ready', EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgwitness_audit')
		AND to_regprocedure('pgwitness.capture()') IS NOT NULL
		AND 14 = (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1) AND NOT attisdropped AND attname IN ('id', 'event_type',
			'event_timestamp', 'user_name', 'table_name', 'row_data', 'schema_name', 'rel_oid', 'session_user_name', 'tx_id', 'client_addr',
			'application_name', 'actor', 'request_id')),
	'sound', ARRAY(SELECT evtname FROM pg_event_trigger WHERE evtenabled = 'A' AND evttags IS NULL AND (evtname, evtevent, evtfoid) IN (
		('pgwitness_ddl', 'ddl_command_end', to_regprocedure('pgwitness.capture_ddl()')::oid),
		('pgwitness_drop', 'sql_drop', to_regprocedure('pgwitness.capture_ddl()')::oid),
		('pgwitness_login', 'login', to_regprocedure('pgwitness.capture_login()')::oid))),
	'any', EXISTS (SELECT FROM pg_event_trigger WHERE evtname IN ('pgwitness_ddl', 'pgwitness_drop', 'pgwitness_login'))
		OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('pgwitness')
			AND proname IN ('capture_ddl', 'ddl_objects', 'capture_login')))`

func (d *Database) eventTriggers(ctx context.Context) (eventTriggers, error) {
	var found eventTriggers
	err := d.conn.JSON(ctx, &found, eventTriggersQuery, []byte(d.table))
	return found, err
}

// Events makes the script that puts the event triggers on, or puts them right. It fails with a replication.ErrSetup where
// there is nothing that they could write with, and on a server that has no such events.
func (d *Database) Events(ctx context.Context, events Events) (Script, error) {
	if events.Login && d.major < oldestLogin {
		return Script{}, admin.Refuse(replication.ErrSetup, "logins cannot be audited on PostgreSQL %d: it has the event from %d on; "+
			"log_connections is the server's own record of them", d.major, oldestLogin)
	}
	found, err := d.eventTriggers(ctx)
	if err != nil {
		return Script{}, err
	}
	if !found.Ready {
		return Script{}, admin.Refuse(replication.ErrSetup, "there is no audit table %s with pgwitness's columns and functions, into which event "+
			"triggers could write: run `pgwitness audit install`, or `pgwitness audit harden` for the table that is there", d.table)
	}
	script := Script{Title: fmt.Sprintf("pgwitness audit events: what is done in the database besides changing rows goes into %s. "+
		"It takes a superuser.", d.table)}
	add := func(why, sql string, triggers ...string) error {
		sql, err := d.render(sql)
		if err != nil {
			return err
		}
		altered, err := d.altered(ctx, sql)
		if err != nil {
			return err
		}
		unsound := slices.ContainsFunc(triggers, func(name string) bool { return !slices.Contains(found.Sound, name) })
		if unsound || len(altered) > 0 {
			script.Steps = append(script.Steps, Step{Why: why, SQL: sql})
		}
		return nil
	}
	if events.DDL {
		err = add("Audit DDL, GRANT and REVOKE. An error in the event triggers aborts such a command.", scripts.Events, "pgwitness_ddl", "pgwitness_drop")
	}
	if events.Login && err == nil {
		err = add("Audit logins. An error in the event trigger keeps nobody out; the server's log tells it.", scripts.Login, "pgwitness_login")
	}
	return script, err
}

// RemoveEvents makes the script that takes the event triggers off. The audit rows stay.
func (d *Database) RemoveEvents(ctx context.Context) (Script, error) {
	found, err := d.eventTriggers(ctx)
	if err != nil {
		return Script{}, err
	}
	script := Script{Title: "pgwitness audit events --undo: only changes of rows are audited then. It takes a superuser."}
	if found.Any {
		script.Steps = []Step{{Why: "Take the event triggers off. Their audit rows stay.", SQL: scripts.Unevents}}
	}
	return script, nil
}
