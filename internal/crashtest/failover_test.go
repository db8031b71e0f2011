//go:build unix

package crashtest

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/witnesstest"
)

// faultsBeside is how long faults are made before a failover, and after it.
const faultsBeside = 5 * time.Second

// TestFailover is a round in whose midst the primary is killed and a standby promoted, behind an address that moves with it.
// Where the standby has the slot, nothing may be missing and nothing come twice; where it has none, the consumer has to end
// and say from which position on rows may be missing, and that must be true.
func TestFailover(t *testing.T) {
	duration, seed := campaign(t)
	t.Logf("CRASH_SEED=%d CRASH_DURATION=%v", seed, duration)
	versions := []int{17, 18, 15}
	if duration <= shortCampaign {
		versions = versions[:1]
	}
	witnesstest.Binary(t)
	for _, version := range versions {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			tally := map[string]int{}
			r := &round{seed: seed + uint64(version), bulk: 20_000, tally: tally}
			p := newPair(t, version)
			slot := p.Name + "_reference"
			begin := p.createSlot(t, slot)
			p.createSlot(t, p.Name)
			if p.synced {
				p.AwaitSynced(t, p.standby)
				p.await(t, slot)
			}
			r.prepare(t, p.Database, p.AdminDSNThrough(p.address), slot, begin)
			settle := r.settle
			if !p.synced {
				settle = r.expectLoss
			}
			r.run(t, func(failed <-chan struct{}) {
				r.saboteur.restarted = time.Now() // the standby would take as long to follow a restarted server as all this does
				r.saboteur.run(t, time.Now().Add(faultsBeside), failed)
				p.failOver(t, r.saboteur)
				if p.synced {
					r.saboteur.restarted = time.Now()
					r.saboteur.run(t, time.Now().Add(faultsBeside), failed)
				}
			}, settle)
			if !t.Failed() && p.synced {
				r.compareFiles(t)
			}
			t.Log(describe(tally))
		})
	}
}

// pair is a primary and a standby, and a proxy that stands for the address of whichever is the primary.
type pair struct {
	*witnesstest.Database
	standby *embeddedpg.Server
	address *witnesstest.Proxy
	synced  bool // the standby has copies of the slots
}

func newPair(t *testing.T, version int) *pair {
	server := pgtest.Start(t, embeddedpg.Config{Version: version, Settings: map[string]string{
		"max_prepared_transactions": "50", "max_connections": "100", "wal_sender_timeout": "3s",
	}})
	d := witnesstest.NewBareDatabase(t, server)
	d.Exec(t, "CREATE PUBLICATION "+d.Name+" FOR TABLE custom_audit_log WITH (publish = 'insert, truncate')")
	p := &pair{Database: d, standby: d.NewStandby(t, version, nil), address: witnesstest.NewProxy(t, server), synced: version >= 17}
	// A writer that was told of a commit, or of a PREPARE, counts on it after the failover too.
	d.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	if p.synced {
		d.Exec(t, "ALTER SYSTEM SET synchronized_standby_slots = 'standby'")
	}
	d.Exec(t, "SELECT pg_reload_conf()")
	return p
}

// createSlot makes a slot that outlives a failover, if the version knows such, and returns where it begins.
func (p *pair) createSlot(t *testing.T, name string) string {
	options := ""
	if p.synced {
		options = ", failover => true"
	}
	return p.Query(t, "SELECT lsn::text FROM pg_create_logical_replication_slot('"+name+"', 'pgoutput'"+options+")")
}

// await waits until the standby has a copy of the slot that outlives a failover.
func (p *pair) await(t *testing.T, slot string) {
	p.On(p.standby).Await(t, "synced AND NOT temporary AND invalidation_reason IS NULL FROM pg_replication_slots "+
		"WHERE slot_name = '"+slot+"'", time.Minute)
}

// failOver kills the primary and has everybody go on with the standby.
func (p *pair) failOver(t *testing.T, s *saboteur) {
	began := time.Now()
	p.KillServer(t)
	p.Promote(t, p.standby)
	p.address.Retarget(p.standby)
	s.proxy.Retarget(p.standby)
	s.database = p.On(p.standby)
	t.Logf("failed over in %v", time.Since(began))
	s.tally["failover"]++
}

// lossFrom matches what the consumer says of where the loss may begin.
var lossFrom = regexp.MustCompile(`(?:rows after|the rows delivered from) ([0-9A-F]+/[0-9A-F]+)`)

// expectLoss waits until the consumers have ended with the exit code of lost evidence, and checks that each row committed before
// the position that they name stands in every file, once and in order.
func (r *round) expectLoss(t *testing.T, _ context.Context) {
	const exitEvidence = 4
	r.saboteur.heal(t)
	for _, replica := range r.saboteur.replicas {
		replica.Kill() // it may have ended by itself, as the next one does
	}
	r.saboteur.start(t, 0, "")
	consumer := r.saboteur.replicas[0]
	if code := consumer.ExitCode(t, time.Minute); code != exitEvidence {
		t.Fatalf("exit code %d after a failover without the slot:\n%s", code, consumer.Stderr())
	}
	said := lossFrom.FindStringSubmatch(consumer.Stderr())
	if said == nil {
		t.Fatalf("it is not said from where on rows may be missing:\n%s", consumer.Stderr())
	}
	from, err := pglogrepl.ParseLSN(said[1])
	if err != nil {
		t.Fatal(err)
	}
	want := r.reference.all()
	due := countBefore(want, from)
	for i := range r.saboteur.sinks {
		// A consumer that was killed in the midst of a rotation leaves parts and no file, and the last one ended before it opened
		// its sinks. The follower reads the parts once there is a file.
		file, err := os.OpenFile(r.saboteur.filePath(i), os.O_CREATE|os.O_RDONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_ = file.Close() // nothing was written
		f := newFollower(r.saboteur.filePath(i))
		_, err = f.poll()
		if err == nil {
			err = f.check(want)
		}
		f.close()
		if err != nil || f.checked < min(due, len(want)) {
			t.Errorf("%s: %d lines were right, and %d rows were committed before %s (%v)", f.path, f.checked, due, from, err)
		}
	}
	t.Logf("%d rows were committed before %s, from where on rows may be missing, and are in the files", due, from)
	r.tally["row"] += due
}
