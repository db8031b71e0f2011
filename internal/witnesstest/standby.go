package witnesstest

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
)

// standbySlot is the physical slot that a standby has on its primary.
const standbySlot = "standby"

// NewStandby makes a physical standby of the server, which is restarted for that. From PostgreSQL 17 on the standby keeps
// copies of the slots that were made for failover.
func (d *Database) NewStandby(tb testing.TB, version int, settings map[string]string) *embeddedpg.Server {
	tb.Helper()
	d.Exec(tb, "SELECT pg_create_physical_replication_slot('"+standbySlot+"', true)")
	conninfo, err := url.Parse(d.Server.DSN("postgres")) // with a database, which the copying of slots takes
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]string{
		"primary_conninfo": conninfo.String(), "primary_slot_name": standbySlot, "hot_standby_feedback": "on",
		"wal_retrieve_retry_interval": "200ms",
	}
	if version >= 17 {
		all["sync_replication_slots"] = "on"
		all["synchronized_standby_slots"] = "" // once promoted it would wait for a standby that it does not have
	}
	maps.Copy(all, settings)
	d.StopServer(tb, embeddedpg.Fast)
	standby := pgtest.Start(tb, embeddedpg.Config{Version: version, StandbyOf: d.Server.DataDir(), Settings: all})
	d.StartServer(tb)
	// What it has tried in vain it would try again only after a while, of which the copying of slots has a long one.
	d.On(standby).StopServer(tb, embeddedpg.Fast)
	d.On(standby).StartServer(tb)
	return standby
}

// On is the same database on another server of the cluster.
func (d *Database) On(server *embeddedpg.Server) *Database {
	return &Database{Name: d.Name, Server: server}
}

// DSNOver is the least-privileged role's, with the addresses of several servers, of which the one that can be written to counts.
func (d *Database) DSNOver(servers ...*embeddedpg.Server) string {
	hosts := ""
	for i, s := range servers {
		if i > 0 {
			hosts += ","
		}
		hosts += serverAddress(s)
	}
	return d.dsn(hosts) + "&target_session_attrs=read-write"
}

// CreateFailoverSlot makes the slot as one that standbys keep a copy of. It takes PostgreSQL 17.
func (d *Database) CreateFailoverSlot(tb testing.TB) {
	tb.Helper()
	d.Exec(tb, "SELECT pg_create_logical_replication_slot('"+d.Name+"', 'pgoutput', failover => true)")
}

// AwaitSynced waits until the copy of the slot on standby would outlive a failover, and stands where the slot itself does.
func (d *Database) AwaitSynced(tb testing.TB, standby *embeddedpg.Server) {
	tb.Helper()
	at := d.Query(tb, "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '"+d.Name+"'")
	d.On(standby).Await(tb, fmt.Sprintf("synced AND NOT temporary AND invalidation_reason IS NULL AND confirmed_flush_lsn >= '%s' "+
		"FROM pg_replication_slots WHERE slot_name = '%s'", at, d.Name), time.Minute)
}

// AwaitReplayed waits until standby has all of the WAL that there is now.
func (d *Database) AwaitReplayed(tb testing.TB, standby *embeddedpg.Server) {
	tb.Helper()
	end := d.Query(tb, "SELECT pg_current_wal_insert_lsn()::text")
	d.On(standby).Await(tb, "pg_last_wal_replay_lsn() >= '"+end+"'", time.Minute)
}

// Promote makes standby the primary, and returns when it is.
func (d *Database) Promote(tb testing.TB, standby *embeddedpg.Server) {
	tb.Helper()
	if got := d.On(standby).Query(tb, "SELECT pg_promote()::text"); got != "true" {
		tb.Fatalf("pg_promote returned %s", got)
	}
}

// KillServer kills the server as a crash of its node does.
func (d *Database) KillServer(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	if err := d.Server.Kill(ctx); err != nil {
		tb.Fatal(err)
	}
}
