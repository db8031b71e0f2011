package integration

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// pair is a primary with a standby, and a database with a slot that is copied to the standby where the version can do that.
type pair struct {
	*witnesstest.Database
	former  *embeddedpg.Server // the primary of the beginning
	standby *embeddedpg.Server
	config  witnesstest.Config // follows whichever of the two can be written to
}

func newPair(t *testing.T, version int, settings map[string]string) *pair {
	t.Helper()
	d := witnesstest.NewBareDatabase(t, start(t, version, settings))
	d.Exec(t, "CREATE PUBLICATION "+d.Name+" FOR TABLE custom_audit_log WITH (publish = 'insert, truncate')")
	p := &pair{Database: d, former: d.Server, standby: d.NewStandby(t, version, nil)}
	if version >= 17 {
		d.CreateFailoverSlot(t)
		d.AwaitSynced(t, p.standby)
	} else {
		d.CreateSlot(t)
	}
	p.config = d.Config(t)
	p.config.DSN = d.DSNOver(d.Server, p.standby)
	return p
}

// failOver kills the primary, promotes the standby and goes on there.
func (p *pair) failOver(t *testing.T) {
	t.Helper()
	p.KillServer(t)
	p.Promote(t, p.standby)
	p.Database = p.On(p.standby)
}

// partStandby lets the standby have what there is now, and stops it: what the primary does from now on, it never learns.
func (p *pair) partStandby(t *testing.T) {
	t.Helper()
	p.AwaitReplayed(t, p.standby)
	p.On(p.standby).StopServer(t, embeddedpg.Fast)
}

// TestFailover kills the primary in the midst of writing and promotes the standby, which has the slot: the stream goes on, in
// the same process, and the file holds each row that there is once, and none that there is not.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, version := range []int{17, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			// Nothing is sent to the slot that the standby does not have.
			p := newPair(t, version, map[string]string{"synchronized_standby_slots": "standby"})
			process := witnesstest.Run(t, p.config)
			for range 5 {
				insert(t, p.Database, 10)
			}
			p.AwaitConfirmed(t, soon)     // which the copy of the slot does not know yet: the server sends it again
			insert(t, p.Database, 10_000) // delivered or not, and the standby may have it or not
			killed := time.Now()
			p.failOver(t)
			promoted := time.Now()
			p.AwaitActive(t)
			t.Logf("promoted %v after the kill, and streaming %v after that", promoted.Sub(killed), time.Since(promoted))
			insert(t, p.Database, 10)
			p.AwaitConfirmed(t, soon)
			process.Signal(t, syscall.SIGTERM)
			expectExit(t, process, exitDone)
			expectTable(t, p.Database, readFile(t, p.config))

			// The primary before comes up again, and knows nothing of what happened since.
			before := p.On(p.former)
			before.StartServer(t)
			former := p.config
			former.DSN = before.DSN()
			expectExit(t, witnesstest.Run(t, former), exitEvidence, "does not descend from timeline 2")
		})
	}
}

// TestStandbyBehind promotes a standby that does not have all that happened.
func TestStandbyBehind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		version int
		missed  func(*testing.T, *pair) // by the standby, and delivered
		want    []string                // in the error; nil if the stream goes on
	}{
		// As after a restore to an earlier point in time, of which a server without a slot may be all that is left.
		{"rows, without a slot", 15, missRows, []string{"timeline 2, which left timeline 1 at 0/", "the rows delivered from", "state_dir"}},
		{"rows", 17, missRows, []string{"timeline 2, which left timeline 1 at 0/", "the rows delivered from", "state_dir"}},
		{"what is not audited, without a slot", 15, missOthers, []string{"does not exist", "it was in order before: rows after 0/"}},
		{"what is not audited", 17, missOthers, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, test.version, nil)
			p.Exec(t, "CREATE TABLE unpublished (text text)")
			process := witnesstest.Run(t, p.config)
			insert(t, p.Database, 3)
			p.AwaitConfirmed(t, soon)
			p.partStandby(t)
			test.missed(t, p)
			p.AwaitConfirmed(t, soon)
			p.KillServer(t)
			p.On(p.standby).StartServer(t)
			p.failOver(t)
			if test.want != nil {
				expectExit(t, process, exitEvidence, test.want...)
				// It stays so, whoever restarts it.
				expectExit(t, witnesstest.Run(t, p.config), exitEvidence, test.want...)
				return
			}
			p.AwaitActive(t)
			insert(t, p.Database, 3)
			p.AwaitConfirmed(t, soon)
			expectTable(t, p.Database, readFile(t, p.config))
		})
	}
}

func missRows(t *testing.T, p *pair) { insert(t, p.Database, 3) }

func missOthers(t *testing.T, p *pair) { p.Exec(t, "INSERT INTO unpublished VALUES ('x')") }

// TestStandbyAway stops a standby that everything has to reach first. The server says so with the SQLSTATEs of a slot that was
// lost and of a publication that is missing; but the rows only wait, even while the server is restarted.
func TestStandbyAway(t *testing.T) {
	t.Parallel()
	for _, version := range []int{17, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, version, map[string]string{"synchronized_standby_slots": "standby"})
			process := witnesstest.Run(t, p.config)
			insert(t, p.Database, 1)
			p.AwaitConfirmed(t, soon)
			p.On(p.standby).StopServer(t, embeddedpg.Fast)
			insert(t, p.Database, 1)
			process.AwaitLog(t, "before a standby has it", soon)
			p.StopServer(t, embeddedpg.Fast)
			p.StartServer(t)
			p.AwaitActive(t)
			p.On(p.standby).StartServer(t)
			p.AwaitConfirmed(t, soon)
			expectTable(t, p.Database, readFile(t, p.config))
		})
	}
}
