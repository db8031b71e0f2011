package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	liveRate    = 2000 // transactions a second
	liveWriters = 16
	liveWantP50 = 2 * time.Millisecond
	liveWantP99 = 5 * time.Millisecond
)

// liveVariant is a way for the server to treat a commit.
type liveVariant struct {
	name   string
	note   string
	fsync  string // of the server
	commit string // synchronous_commit of the writers
	target bool
}

// A logical walsender sends nothing that is not flushed. So there is no way to take the server's own flush out of the
// latency but to have it do none.
var liveVariants = []liveVariant{
	{name: "durable commits", note: "the server's fsyncs go to the same disk", fsync: "on", commit: "on", target: true},
	{name: "WAL elsewhere", note: "fsync=off, as if the WAL had a disk of its own that takes no time", fsync: "off", commit: "on"},
	{name: "asynchronous commits", note: "synchronous_commit=off: the server sends a commit once its WAL writer has flushed it, every wal_writer_delay=200ms or sooner",
		fsync: "on", commit: "off"},
}

// liveResult is what came of a variant.
type liveResult struct {
	liveVariant
	latency    quantiles
	count      uint64  // of transactions whose latency that is
	achieved   float64 // transactions a second
	idle, busy quantiles
	cost       cost
	lasted     time.Duration // that cost is of
}

// live has pgwitness follow what writers commit at a fixed rate.
func (b *bench) live(ctx context.Context, v liveVariant) (result liveResult, err error) {
	result.liveVariant = v
	fmt.Fprintf(b.progress, "(d) %s: %d transactions/s for %s\n", v.name, liveRate, b.options.live)
	const slot = "bench_live"
	if err := b.exec(ctx, "ALTER SYSTEM SET fsync = "+v.fsync, "SELECT pg_reload_conf()"); err != nil {
		return result, err
	}
	if err := b.createSlot(ctx, slot); err != nil {
		return result, err
	}
	defer func() {
		if dropErr := b.dropSlot(context.WithoutCancel(ctx), slot); err == nil {
			err = dropErr
		}
	}()
	dir, err := os.MkdirTemp(b.dir, "live-")
	if err != nil {
		return result, err
	}
	if result.idle, err = measureDisk(dir); err != nil {
		return result, err
	}
	address, err := freeAddress()
	if err != nil {
		return result, err
	}
	began := time.Now()
	consumer, path, err := b.startPgwitness(ctx, dir, slot, "--listen", address)
	if err != nil {
		return result, err
	}
	defer func() {
		var stopErr error
		result.cost, stopErr = consumer.terminate()
		result.lasted = time.Since(began)
		if err = errors.Join(err, stopErr); err != nil {
			return
		}
		if _, lines, measureErr := measureFile(path); measureErr != nil || uint64(lines) < result.count {
			err = errors.Join(fmt.Errorf("the file has %d events, the histogram %d", lines, result.count), measureErr)
		}
	}()
	if err := awaitReady(ctx, consumer, address); err != nil {
		return result, err
	}
	writers, err := b.startWriters(ctx, v.commit)
	if err != nil {
		return result, err
	}
	err = b.observe(ctx, address, dir, writers, &result)
	written, stopErr := writers.stop()
	if err = errors.Join(err, stopErr); err != nil {
		return result, err
	}
	return result, awaitDelivered(ctx, address, written)
}

// observe waits while the writers write, asks pgwitness, and only then measures the disk under this load: that is a load
// in itself.
func (b *bench) observe(ctx context.Context, address, dir string, w *writers, result *liveResult) (err error) {
	began, before := time.Now(), w.committed.Load()
	select {
	case <-time.After(b.options.live):
	case <-w.failed.Done():
		return nil // stop tells
	case <-ctx.Done():
		return ctx.Err()
	}
	result.achieved = float64(w.committed.Load()-before) / time.Since(began).Seconds()
	h, err := scrape(ctx, address)
	if err != nil {
		return err
	}
	result.count = h.GetSampleCount()
	if result.latency, err = latencies(h); err != nil {
		return err
	}
	result.busy, err = measureDisk(dir)
	return err
}

// writers commit single-row transactions, each connection on a schedule of its own that does not wait for the one before.
type writers struct {
	committed atomic.Uint64
	failed    context.Context // done when a writer failed
	cancel    context.CancelFunc
	group     *errgroup.Group
}

func (b *bench) startWriters(ctx context.Context, commit string) (*writers, error) {
	conns := make([]*pgx.Conn, liveWriters)
	for i := range conns {
		conn, err := pgx.Connect(ctx, b.dsn)
		if err == nil {
			conns[i] = conn
			_, err = conn.Exec(ctx, "SET synchronous_commit = "+commit)
		}
		if err != nil {
			for _, conn := range conns[:i] {
				_ = conn.Close(ctx)
			}
			return nil, err
		}
	}
	writing, cancel := context.WithCancel(ctx)
	group, failed := errgroup.WithContext(ctx)
	w := &writers{cancel: cancel, group: group, failed: failed}
	const interval = time.Second * liveWriters / liveRate
	began := time.Now()
	for i, conn := range conns {
		group.Go(func() error {
			defer conn.Close(context.WithoutCancel(ctx))
			return w.write(ctx, writing, conn, began.Add(interval*time.Duration(i)/liveWriters), interval)
		})
	}
	return w, nil
}

// write commits a row at due, and again after each interval, until writing is done.
func (w *writers) write(ctx, writing context.Context, conn *pgx.Conn, due time.Time, interval time.Duration) error {
	insert := fmt.Sprintf(insertRows, "$1::int", "$1::int")
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for i := 1; ; i++ {
		select {
		case <-timer.C:
		case <-writing.Done():
			return nil
		}
		if _, err := conn.Exec(ctx, insert, i); err != nil {
			return fmt.Errorf("a writer: %w", err)
		}
		w.committed.Add(1)
		due = due.Add(interval)
		timer.Reset(time.Until(due))
	}
}

// stop ends the writers and returns how many transactions they have committed.
func (w *writers) stop() (uint64, error) {
	w.cancel()
	err := w.group.Wait()
	return w.committed.Load(), err
}

// freeAddress returns an address on which nobody listened a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// await polls until done says so, or half a minute has passed.
func await(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		ok, err := done(ctx)
		if ok {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting until %s: %w", what, ctx.Err()), err)
		}
	}
}

func awaitReady(ctx context.Context, c *child, address string) error {
	return await(ctx, "pgwitness is ready", func(ctx context.Context) (bool, error) {
		select {
		case <-c.ended:
			return true, nil // terminate tells why
		default:
		}
		response, err := get(ctx, address, "/readyz", "")
		if err != nil {
			return false, err
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
}

func awaitDelivered(ctx context.Context, address string, transactions uint64) error {
	return await(ctx, fmt.Sprintf("all %d transactions are durable", transactions), func(ctx context.Context) (bool, error) {
		h, err := scrape(ctx, address)
		return err == nil && h.GetSampleCount() == transactions, err
	})
}
