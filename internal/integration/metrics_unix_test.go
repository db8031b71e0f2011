//go:build unix

package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// awaitSeries waits until /metrics has all of these lines.
func (p *pod) awaitSeries(t *testing.T, limit time.Duration, series ...string) {
	t.Helper()
	var text string
	if !witnesstest.Poll(limit, func() bool {
		_, text = p.get(t, "/metrics")
		return !slices.ContainsFunc(series, func(want string) bool { return !strings.Contains(text, "\n"+want+"\n") })
	}) {
		t.Fatalf("not all of %q are in\n%s\nstandard error:\n%s", series, text, p.Stderr())
	}
}

// TestStandbysWatched watches a standby that has a copy of the slot, and one that is not there; and takes the first away.
func TestStandbysWatched(t *testing.T) {
	t.Parallel()
	p := newPair(t, 18, nil)
	file := filepath.Join(p.config.Dir, "standbys")
	const nobody = "127.0.0.1:1"
	text := p.On(p.standby).DSN() + "\n" + strings.ReplaceAll(p.DSN(), fmt.Sprint(p.Server.Port()), "1") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.config.Environ = append(p.config.Environ, "PGWITNESS_SOURCE_STANDBY_DSN_FILE="+file)
	process := runPod(t, p.config)
	there, away := fmt.Sprintf(`pgwitness_standby_slot_ready{standby="127.0.0.1:%d"} `, p.standby.Port()), `pgwitness_standby_slot_ready{standby="`+nobody+`"} `
	process.awaitSeries(t, soon, there+"1", away+"0", "pgwitness_slot_failover_enabled 1", `pgwitness_standby_last_read_timestamp_seconds{standby="`+nobody+`"} 0`)

	p.On(p.standby).StopServer(t, embeddedpg.Fast)
	process.awaitSeries(t, soon, there+"0", away+"0")
	insert(t, p.Database, 1)
	p.AwaitConfirmed(t, soon)
	p.On(p.standby).StartServer(t)
	process.awaitSeries(t, soon, there+"1")

	// A copy that cannot be used any more. Dropping the slot would end the stream.
	p.Exec(t, "ALTER SYSTEM SET synchronized_standby_slots = ''")
	p.On(p.standby).Exec(t, "ALTER SYSTEM SET sync_replication_slots = off")
	p.On(p.standby).Exec(t, "SELECT pg_reload_conf()")
	p.Promote(t, p.standby)
	p.On(p.standby).Exec(t, "SELECT pg_drop_replication_slot('"+p.Name+"')")
	process.awaitSeries(t, soon, there+"0", "pgwitness_active 1")
	process.Signal(t, syscall.SIGTERM)
	expectExit(t, process.Process, exitDone)
}

// TestScrapeWhileDatabaseHangs lets a server vanish behind a network that swallows everything.
func TestScrapeWhileDatabaseHangs(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, nil))
	proxy := witnesstest.NewProxy(t, d.Server)
	cfg := d.Config(t)
	cfg.DSN = d.DSNThrough(proxy)
	cfg.Environ = append(cfg.Environ, "PGWITNESS_SOURCE_RECEIVE_TIMEOUT=3s")
	p := runPod(t, cfg)
	// The slot is seen to be active by a look that came after the stream's beginning.
	p.awaitSeries(t, soon, "pgwitness_source_connected 1", "pgwitness_active 1", "pgwitness_slot_active 1")
	proxy.BlackHole()
	var took []time.Duration
	const noticed = 40 * time.Second // a question to the catalog is given up after 30
	if !witnesstest.Poll(noticed, func() bool {
		began := time.Now()
		code, text := p.get(t, "/metrics")
		took = append(took, time.Since(began))
		if code != http.StatusOK {
			t.Errorf("/metrics: %d", code)
		}
		return strings.Contains(text, "\npgwitness_source_connected 0\n") && strings.Contains(text, "\npgwitness_active 0\n")
	}) {
		t.Error("it was never noticed")
	}
	slices.Sort(took)
	t.Logf("%d scrapes, each with a new connection, took %v in the median and %v at most", len(took), took[len(took)/2], took[len(took)-1])
	if slowest := took[len(took)-1]; slowest > time.Second {
		t.Errorf("a scrape took %v", slowest)
	}
	if code, text := p.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s", code, text)
	}
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	p.awaitSeries(t, time.Minute, "pgwitness_source_connected 1", "pgwitness_active 1")
}

// TestStandingByMeasures lets a process that waits for the slot show it all the same.
func TestStandingByMeasures(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, nil))
	cfg := d.Config(t)
	witnesstest.Run(t, cfg)
	d.AwaitActive(t)
	cfg.Dir = t.TempDir()
	second := runPod(t, cfg)
	second.awaitSeries(t, soon, "pgwitness_active 0", "pgwitness_standby 1", "pgwitness_source_connected 1", "pgwitness_slot_active 1",
		`pgwitness_slot_wal_status{status="reserved"} 1`)
}

// TestLinger ends processes that have been told to stay after such an end.
func TestLinger(t *testing.T) {
	t.Parallel()
	server := start(t, 0, nil)
	dropSlot := func(t *testing.T, d *witnesstest.Database, _ witnesstest.Config) { d.DropSlot(t) }
	for _, test := range []struct {
		name, linger string
		spoil        func(*testing.T, *witnesstest.Database, witnesstest.Config)
		want         string
	}{
		{"until it is asked to stop", "10m", dropSlot, "does not exist"},
		{"until it is over", "2s", dropSlot, "does not exist"},
		{"before it could begin", "10m", func(t *testing.T, _ *witnesstest.Database, cfg witnesstest.Config) {
			checkpoints, err := filepath.Glob(filepath.Join(cfg.Dir, "state", "*.json"))
			if err != nil || len(checkpoints) != 1 {
				t.Fatalf("%d checkpoints, %v", len(checkpoints), err)
			}
			if err := os.WriteFile(checkpoints[0], []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, filepath.Join("state", "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := witnesstest.NewDatabase(t, server)
			cfg := d.Config(t)
			deliver(t, d, cfg)
			test.spoil(t, d, cfg)
			cfg.Environ = append(cfg.Environ, "PGWITNESS_HTTP_LINGER="+test.linger)
			p := runPod(t, cfg)
			p.awaitSeries(t, soon, `pgwitness_run_ended{exit_code="3"} 0`, `pgwitness_run_ended{exit_code="4"} 1`, "pgwitness_active 0")
			if code, text := p.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "exit code 4") {
				t.Errorf("/readyz: %d %s", code, text)
			}
			if code, text := p.get(t, "/healthz"); code != http.StatusOK {
				t.Errorf("/healthz: %d %s", code, text)
			}
			if test.linger == "10m" {
				p.Signal(t, syscall.SIGTERM)
			}
			expectExit(t, p.Process, exitEvidence, test.want)
		})
	}
}
