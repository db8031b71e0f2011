package pipeline

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/failpoint"
	"pgwitness/internal/replication"
	"pgwitness/internal/retry"
	"pgwitness/sink"
)

// confirmer confirms positions, each after the checkpoint that holds it is durable. It has a goroutine of its own so that
// neither the loop nor the connection waits for the checkpoint's disk; what became durable meanwhile is confirmed at once.
type confirmer struct {
	stream     *replication.Stream
	checkpoint Checkpoint
	every      time.Duration
	outage     *retry.Outage // of the checkpoint; owned by run

	upTo  atomic.Uint64 // the position that may be confirmed; raised by the loop
	held  atomic.Uint64 // the commit LSN of the last event that every sink has; raised by the loop
	wake  chan struct{} // a token: upTo was raised
	begun chan replication.Mark
	done  chan struct{} // closed by finish: confirm what is left and end
	ended chan struct{} // closed by run when it ends
}

func newConfirmer(cfg Config) *confirmer {
	return &confirmer{
		stream: cfg.Stream, checkpoint: cfg.Checkpoint, every: cfg.ConfirmEvery, outage: retry.NewOutage(cfg.Logger),
		wake: make(chan struct{}, 1), begun: make(chan replication.Mark, 1),
		done: make(chan struct{}), ended: make(chan struct{}),
	}
}

// begin gives it the mark of the stream's first connection, which is saved even before anything is confirmed: from then on
// the slot has been used, and must not vanish. It is called at most once.
func (c *confirmer) begin(mark replication.Mark) { c.begun <- mark }

// durable says that every sink has everything before end. Only the loop calls it.
func (c *confirmer) durable(end decoder.LSN) {
	c.upTo.Store(uint64(end))
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// delivered says that every sink has the event of that commit LSN. Only the loop calls it.
func (c *confirmer) delivered(commit decoder.LSN) { c.held.Store(uint64(commit)) }

// finish has the last position confirmed and waits for that, or until ctx is done.
func (c *confirmer) finish(ctx context.Context) {
	close(c.done)
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
}

// run confirms until finish or until ctx is done.
func (c *confirmer) run(ctx context.Context) {
	defer close(c.ended)
	var mark replication.Mark
	select {
	case mark = <-c.begun:
	case <-c.done:
		select {
		case mark = <-c.begun: // both had happened: a short run's only confirmation is still to be made
		default:
			return
		}
	case <-ctx.Done():
		return
	}
	if !c.save(ctx, mark) {
		return
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for last := false; !last; {
		select {
		case <-c.wake:
		case <-c.done:
			last = true
		case <-ctx.Done():
			return
		}
		// What was delivered of a transaction that is not complete is remembered too, if this was the last of it.
		delivered := decoder.LSN(c.held.Load())
		if end := decoder.LSN(c.upTo.Load()); end > mark.Confirmed || last && delivered > mark.Delivered {
			failpoint.Hit("confirm.before-checkpoint")
			mark.Confirmed, mark.Delivered = max(end, mark.Confirmed), max(delivered, mark.Delivered)
			mark.Publication = c.stream.Publication()
			if !c.save(ctx, mark) {
				return
			}
			failpoint.Hit("confirm.after-checkpoint")
			c.stream.Confirm(end)
		}
		pause.Reset(c.every)
		select {
		case <-pause.C:
		case <-c.done:
		case <-ctx.Done():
		}
	}
}

// save saves mark, however long that takes. It says whether it did.
func (c *confirmer) save(ctx context.Context, mark replication.Mark) bool {
	backoff := retry.New()
	for {
		err := c.checkpoint.Save(mark)
		if err == nil {
			c.outage.Over("the checkpoint can be written again: confirming what was delivered")
			return true
		}
		c.outage.Failed(slog.LevelError, sink.Reason(err),
			"the checkpoint cannot be written: nothing is confirmed and nothing lost; trying again until it can", "error", err)
		if backoff.Wait(ctx) != nil {
			return false
		}
	}
}
