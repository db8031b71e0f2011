//go:build linux && systemd

// Package systemd_test installs the package on a machine with a systemd of its own and lives through what a unit lives
// through. It needs root and Debian:
//
//	go run ./scripts/release -out dist -platforms linux/amd64
//	go test -tags systemd ./deploy/systemd -deb "$PWD"/dist/*.deb
package systemd_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/witnesstest"
)

var deb = flag.String("deb", "", "the package to install, a `path`")

func TestMain(m *testing.M) { witnesstest.Main(m) }

const (
	unit      = "pgwitness.service"
	retention = "pgwitness-retention.service"
	delivered = "/var/lib/private/pgwitness/audit.jsonl"
)

// settings are a drop-in that follows db.
func settings(db *witnesstest.Database) string {
	return `[Service]
RestartSec=100ms
Environment=PGWITNESS_SOURCE_SLOT=` + db.Name + ` PGWITNESS_SOURCE_PUBLICATION=` + db.Name + ` PGWITNESS_HTTP_LISTEN=127.0.0.1:0
`
}

func TestUnit(t *testing.T) {
	m := boot(t)
	content, err := os.ReadFile(*deb)
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "/tmp/pgwitness.deb", string(content))
	install := func(t *testing.T) { // without waiting for man-db's index
		t.Helper()
		m.do(t, "dpkg", "--no-triggers", "--install", "/tmp/pgwitness.deb")
	}
	install(t)
	if said := m.do(t, "systemd-analyze", "verify", "--recursive-errors=no", "--man=no", unit, retention, "pgwitness-retention.timer"); said != "" {
		t.Errorf("systemd finds in the units: %s", said)
	}
	for _, name := range []string{unit, "pgwitness-retention.timer"} {
		if state := m.property(t, name, "UnitFileState") + " " + m.property(t, name, "ActiveState"); state != "disabled inactive" {
			t.Errorf("after the installation %s is %s", name, state)
		}
	}

	db := witnesstest.NewDatabase(t, pgtest.Start(t, embeddedpg.Config{}))
	m.write(t, "/etc/pgwitness/dsn", db.DSN()+"\n")
	m.configure(t, unit, settings(db))

	t.Run("starts before PostgreSQL", func(t *testing.T) {
		db.StopServer(t, embeddedpg.Fast)
		m.do(t, "systemctl", "enable", "--now", unit)
		m.await(t, "StatusText", "no stream yet (refused)")
		if state := m.property(t, unit, "ActiveState"); state != "active" {
			t.Errorf("it is %s", state)
		}
		db.StartServer(t)
		m.await(t, "StatusText", "streaming from slot "+db.Name)
	})

	t.Run("delivers", func(t *testing.T) {
		db.Exec(t, "INSERT INTO your_table (column_name) VALUES ('a')")
		db.AwaitConfirmed(t, 30*time.Second)
		lines, err := os.ReadFile(m.path(delivered))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(lines), "\n"); got != 1 {
			t.Errorf("%d events were delivered, want 1", got)
		}
	})

	t.Run("goes on after an upgrade", func(t *testing.T) {
		before := m.property(t, unit, "MainPID")
		install(t)
		if after := m.property(t, unit, "MainPID"); after == before || after == "0" {
			t.Errorf("after the installation of another package process %s has become %s", before, after)
		}
		m.await(t, "StatusText", "streaming")
	})

	// Without GOTRACEBACK=crash the aborted process leaves with 2, and is not restarted.
	t.Run("is restarted by the watchdog", func(t *testing.T) {
		m.configure(t, unit, settings(db)+"WatchdogSec=2s\n")
		m.do(t, "systemctl", "restart", unit)
		m.await(t, "StatusText", "streaming")
		before := m.property(t, unit, "MainPID")
		m.do(t, "kill", "-STOP", before)
		m.await(t, "NRestarts", "1")
		m.await(t, "StatusText", "streaming")
		if after := m.property(t, unit, "MainPID"); after == before {
			t.Errorf("process %s is still there", after)
		}
	})

	t.Run("removes what has expired", func(t *testing.T) {
		m.write(t, "/etc/pgwitness/retention-dsn", db.AdminDSN()+"\n")
		db.Exec(t, "UPDATE custom_audit_log SET event_timestamp = event_timestamp - interval '2 years'")
		db.AwaitConfirmed(t, 30*time.Second)
		m.configure(t, retention, settings(db)+
			"ExecStart=\nExecStart=pgwitness audit retention --config /etc/pgwitness/pgwitness.yaml --keep 12mo --apply --wait 1m\n")
		m.do(t, "systemctl", "start", retention)
		if left := db.Query(t, "SELECT count(*)::text FROM custom_audit_log WHERE event_type = 'INSERT'"); left != "0" {
			t.Errorf("%s expired rows are left\n%s", left, m.journal())
		}
	})

	t.Run("stops", func(t *testing.T) {
		m.do(t, "systemctl", "stop", unit)
		if got := m.property(t, unit, "Result") + " " + m.property(t, unit, "ExecMainStatus"); got != "success 0" {
			t.Errorf("asked to stop, it ended as %s", got)
		}
	})

	t.Run("is not restarted where a person is needed", func(t *testing.T) {
		db.DropSlot(t)
		m.do(t, "systemctl", "start", unit)
		m.await(t, "ActiveState", "failed")
		if got := m.property(t, unit, "ExecMainStatus") + " " + m.property(t, unit, "NRestarts"); got != "4 0" {
			t.Errorf("with its slot gone it ended with, and restarts: %s", got)
		}
	})

	t.Run("leaves the evidence", func(t *testing.T) {
		m.do(t, "dpkg", "--no-triggers", "--purge", "pgwitness")
		if state := m.property(t, unit, "LoadState"); state != "not-found" {
			t.Errorf("the unit is %s", state)
		}
		if _, err := os.Stat(m.path(delivered)); err != nil {
			t.Error(err)
		}
	})
}
