//go:build unix

package crashtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/witnesstest"
)

func TestMain(m *testing.M) { witnesstest.Main(m) }

const (
	// shortCampaign is what an ordinary run of all tests has time for.
	shortCampaign = 15 * time.Second
	// roundTime is how long faults are made in a round, at most: what one has to keep in memory stays small.
	roundTime = 30 * time.Second
	// killEvery is how often the consumer is killed at least, on the average: 60 times in three minutes.
	killEvery = 3 * time.Second
	// mostBehind is how many rows the consumer may be behind before the writers wait for it.
	mostBehind = 150_000
)

// TestCampaign runs rounds for CRASH_DURATION.
func TestCampaign(t *testing.T) {
	duration, seed := campaign(t)
	version, err := strconv.Atoi(cmp.Or(os.Getenv("CRASH_VERSION"), strconv.Itoa(embeddedpg.DefaultVersion)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("CRASH_SEED=%d CRASH_VERSION=%d CRASH_DURATION=%v", seed, version, duration)
	witnesstest.Binary(t)
	server := pgtest.Start(t, embeddedpg.Config{Version: version, Settings: map[string]string{
		"max_prepared_transactions": "50",
		"max_connections":           "100",
		"wal_sender_timeout":        "3s", // a killed consumer behind a black hole holds the slot for that long
		"authentication_timeout":    "3s", // and a connection that has not said yet what it wants holds up a fast shutdown for this long
	}})
	bulk := 100_000
	if duration <= shortCampaign {
		bulk /= 5 // it has to end soon, under the race detector too
	}
	tally := map[string]int{}
	least := int(duration / killEvery)
	for begun, n := time.Now(), 0; time.Since(begun) < duration || tally["kill"] < least; n++ {
		r := &round{seed: seed + uint64(n), bulk: bulk, tally: tally}
		faults := max(shortCampaign, min(roundTime, duration-time.Since(begun)))
		t.Run(strconv.FormatUint(r.seed, 10), func(t *testing.T) {
			d := witnesstest.NewDatabase(t, server)
			slot := d.Name + "_reference"
			begin := d.Query(t, "SELECT lsn::text FROM pg_create_logical_replication_slot('"+slot+"', 'pgoutput')")
			r.prepare(t, d, d.AdminDSN(), slot, begin)
			r.run(t, func(failed <-chan struct{}) { r.saboteur.run(t, time.Now().Add(faults), failed) }, r.settle)
			if !t.Failed() {
				r.compareFiles(t)
				d.DropSlot(t)
				d.Exec(t, "SELECT pg_drop_replication_slot('"+slot+"')")
			}
		})
		if t.Failed() {
			t.Logf("to repeat this round: CRASH_SEED=%d", r.seed)
			break
		}
	}
	t.Log(describe(tally))
	var missed []string
	for _, name := range slices.Sorted(maps.Keys(failpoints)) {
		if tally["kill at "+name] == 0 {
			missed = append(missed, name)
		}
	}
	t.Logf("failpoints without a kill: %v", missed)
}

// campaign is how long to make faults, and what to draw lots from.
func campaign(t *testing.T) (duration time.Duration, seed uint64) {
	duration, err := time.ParseDuration(cmp.Or(os.Getenv("CRASH_DURATION"), shortCampaign.String()))
	if err != nil {
		t.Fatal(err)
	}
	seed, err = strconv.ParseUint(cmp.Or(os.Getenv("CRASH_SEED"), strconv.FormatUint(rand.Uint64(), 10)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return duration, seed
}

func describe(tally map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(tally)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, tally[name]))
	}
	return strings.Join(parts, ", ")
}

// round is one database, with one slot and one run of the consumer's files, from the first row to the comparison.
type round struct {
	seed  uint64
	bulk  int // rows in a large transaction
	tally map[string]int

	dsn       string // the administrator's
	reference *reference
	watcher   *watcher
	saboteur  *saboteur
}

// random returns the round's sequence with that number.
func (r *round) random(sequence uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, sequence)) }

// prepare makes what a round in database needs. The administrator's dsn is for the writers and those who compare; the slot of
// the reference begins at begin.
func (r *round) prepare(t *testing.T, database *witnesstest.Database, dsn, slot, begin string) {
	dir, err := os.MkdirTemp("", "pgwitness-crash-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the files are kept in %s, the server's log was %s", dir, database.Server.LogFile())
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	database.Exec(t, "CREATE TABLE unpublished (text text)")
	position, err := pglogrepl.ParseLSN(begin)
	if err != nil {
		t.Fatal(err)
	}
	lots := r.random(0)
	r.saboteur = &saboteur{
		database: database, proxy: witnesstest.NewProxy(t, database.Server), dir: dir, sinks: 1 + lots.IntN(2), random: lots, tally: r.tally,
		replicas: make([]*replica, 1+lots.IntN(2)),
	}
	// A replica that takes over again gives its standard output what the other one gave its own in between, or once more.
	r.saboteur.stdout = len(r.saboteur.replicas) == 1 && lots.IntN(2) == 0
	t.Logf("%d files, %d replicas", r.saboteur.sinks, len(r.saboteur.replicas))
	r.dsn = dsn
	r.reference = &reference{dsn: dsn, slot: slot, publication: database.Name, position: position}
	r.watcher = &watcher{dsn: dsn, slot: database.Name, reference: r.reference}
	for i := range r.saboteur.sinks {
		r.watcher.followers = append(r.watcher.followers, newFollower(r.saboteur.filePath(i)))
	}
}

// run has the writers write while disrupt makes faults, until that returns, and then settle see to it that everything is
// delivered, or as much as can be.
func (r *round) run(t *testing.T, disrupt func(failed <-chan struct{}), settle func(*testing.T, context.Context)) {
	ctx, stop := context.WithCancel(t.Context())
	group, running := errgroup.WithContext(ctx)
	finish := sync.OnceFunc(func() {
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	defer finish()
	group.Go(func() error { return r.reference.run(running) })
	group.Go(func() error { return r.watcher.run(running) })
	group.Go(func() error { return r.report(running, t) })
	writing, stopWriting := context.WithCancel(running)
	defer stopWriting()
	var writers sync.WaitGroup
	for _, w := range r.writers() {
		writers.Add(1)
		group.Go(func() error {
			defer writers.Done()
			return w(writing)
		})
	}

	for number := range r.saboteur.replicas {
		r.saboteur.start(t, number, r.saboteur.lot())
	}
	disrupt(running.Done())
	stopWriting()
	writers.Wait()
	if running.Err() == nil {
		settle(t, running)
	}
}

// writers are the connections that write: some with all sorts of transactions, and one with large ones.
func (r *round) writers() []func(context.Context) error {
	const count = 4
	full := func() bool { return r.reference.count()-int(r.watcher.checked.Load()) > mostBehind }
	var all []func(context.Context) error
	for i := range uint64(count) {
		w := &writer{dsn: r.dsn, name: fmt.Sprintf("w%d", i), random: r.random(1 + i), full: full}
		all = append(all, w.run)
	}
	random := r.random(1 + count)
	all = append(all, func(ctx context.Context) error {
		for n := 0; ctx.Err() == nil; n++ {
			pause(ctx, time.Duration(random.IntN(4000))*time.Millisecond)
			w := &writer{dsn: r.dsn, name: fmt.Sprintf("b%d", n), random: random, full: full}
			if err := w.bulk(ctx, r.bulk); err != nil {
				continue // the server was restarted
			}
			pause(ctx, 30*time.Second)
		}
		return nil
	})
	return all
}

// report prints how far the round has got, now and then.
func (r *round) report(ctx context.Context, t *testing.T) error {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			t.Logf("%d rows committed, %d delivered and right", r.reference.count(), r.watcher.checked.Load())
		}
	}
}

// settle ends what the writers left open, waits until everything is delivered and confirmed, and ends the consumer.
func (r *round) settle(t *testing.T, running context.Context) {
	const limit = 90 * time.Second
	r.saboteur.rest(t)
	consumer := r.saboteur.replicas[0]
	database, conn := r.saboteur.database, r.saboteur.database.Connect(t)
	rows, _ := conn.Query(t.Context(), "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
	prepared, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	random := r.random(100)
	for _, gid := range prepared {
		database.Exec(t, finishPrepared(random)+" PREPARED '"+gid+"'")
	}
	end, err := pglogrepl.ParseLSN(database.Query(t, "SELECT pg_current_wal_insert_lsn()::text"))
	if err != nil {
		t.Fatal(err)
	}
	done := witnesstest.Poll(limit, func() bool {
		return running.Err() != nil || r.reference.known() >= end && int(r.watcher.checked.Load()) == r.reference.count()
	})
	switch {
	case running.Err() != nil:
		return
	case !done:
		t.Fatalf("%d of %d rows were delivered %v after the last fault:\n%s",
			r.watcher.checked.Load(), r.reference.count(), limit, consumer.Stderr())
	}
	database.AwaitConfirmed(t, limit)
	consumer.Signal(t, syscall.SIGTERM)
	if code := consumer.ExitCode(t, 20*time.Second); code != 0 {
		t.Fatalf("exit code %d after SIGTERM:\n%s", code, consumer.Stderr())
	}
	consumer.ended(t)
	r.compareTable(t, conn)
}

// compareTable compares the reference, and with it the files, with what the table holds.
func (r *round) compareTable(t *testing.T, conn *pgx.Conn) {
	want := map[string]row{}
	for _, row := range r.reference.all() {
		want[row.id] = row
	}
	if len(want) != r.reference.count() {
		t.Errorf("%d rows of the reference have the id of another", r.reference.count()-len(want))
	}
	var selected []string
	for _, column := range columns {
		selected = append(selected, column+"::text")
	}
	rows, err := conn.Query(t.Context(), "SELECT "+strings.Join(selected, ", ")+" FROM custom_audit_log")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		texts := make([]string, len(columns))
		for i, value := range rows.RawValues() {
			if texts[i] = string(value); value == nil {
				texts[i] = null
			}
		}
		var got row
		got.setColumns(texts)
		if row, ok := want[got.id]; !ok || row.digest != got.digest {
			t.Errorf("the table holds %v, and the reference %v (%v)", got, row, ok)
			break
		}
		delete(want, got.id)
	}
	if rows.Close(); rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	for _, row := range want {
		t.Errorf("delivered and not in the table: %v", row)
		break
	}
}

// compareFiles reads each file once more from its beginning, as it is in the end.
func (r *round) compareFiles(t *testing.T) {
	want := r.reference.all()
	for i := range r.saboteur.sinks {
		f := newFollower(r.saboteur.filePath(i))
		complete, err := f.poll()
		err = errors.Join(err, f.check(want))
		f.close()
		if err != nil || !complete || f.lines != len(want) || len(f.rest) > 0 {
			t.Errorf("%s: %d lines and %d bytes for %d rows (%v)", f.path, f.lines, len(f.rest), len(want), err)
		}
	}
	r.tally["row"] += len(want)
	r.tally["confirmation checked"] += r.watcher.confirmed
}
