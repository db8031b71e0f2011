package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"pgwitness/internal/failpoint"
	"pgwitness/internal/replication"
	"pgwitness/sink"
)

// Pipeline is one run.
type Pipeline struct {
	cfg       Config
	workers   []*worker
	confirmer *confirmer
}

// New returns a Pipeline that has not begun.
func New(cfg Config) *Pipeline {
	cfg.setDefaults()
	p := &Pipeline{cfg: cfg}
	for _, d := range cfg.Destinations {
		p.workers = append(p.workers, newWorker(d, cfg.Observer, cfg.Logger))
	}
	p.confirmer = newConfirmer(cfg)
	return p
}

// Sinks is the state of each sink, in the order of the configuration. It may be called at any time by any goroutine.
func (p *Pipeline) Sinks() []SinkState {
	states := make([]SinkState, len(p.workers))
	for i, w := range p.workers {
		states[i] = w.current()
	}
	return states
}

// hangLimit is how long after the grace period a sink may take to notice that its context is done.
const hangLimit = 2 * time.Second

// Run streams until ctx is done, the stream's EndPos is reached, or something ends it that needs a person. When ctx is
// done it finishes the batch in hand within the grace period, confirms it, and returns nil.
func (p *Pipeline) Run(ctx context.Context) error {
	// Three lives: taking is the taking of batches, writing the writing of the one in hand, and streaming the connection,
	// which outlasts the last confirmation. Once ending is done, writing has the grace period left.
	writing, stopWriting := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWriting(nil)
	streaming, stopStreaming := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopStreaming(nil)
	taking, stopTaking := context.WithCancelCause(ctx)
	defer stopTaking(nil)
	ending, end := context.WithCancelCause(taking)
	defer end(nil)
	// Opening the sinks has nothing in hand: it ends with the taking, and with the writing at the latest.
	opening, stopOpening := context.WithCancelCause(taking)
	defer context.AfterFunc(writing, func() { stopOpening(context.Cause(writing)) })()

	var group errgroup.Group
	group.Go(func() error {
		err := p.cfg.Stream.Run(streaming)
		if errors.Is(err, replication.ErrStale) {
			stopOpening(err) // nothing is left to deliver, and standing by begins the sooner
		}
		end(cmp.Or(err, errDone)) // a stream that failed leaves what it received; that is still delivered
		return err
	})
	if p.cfg.Monitor != nil {
		group.Go(func() error {
			err := p.cfg.Monitor.Run(streaming)
			if err != nil {
				stopTaking(err)
			}
			return err
		})
	}
	group.Go(func() error { p.confirmer.run(writing); return nil })
	for _, w := range p.workers {
		group.Go(w.run)
	}
	group.Go(func() error {
		err := p.loop(opening, taking, writing)
		if !errors.Is(err, io.EOF) { // at the EndPos everything is to be confirmed, however long that takes
			end(err)
		}
		for _, w := range p.workers {
			close(w.jobs)
		}
		p.confirmer.finish(writing)
		stopStreaming(errDone)
		stopWriting(errDone)
		return err
	})
	group.Go(func() error {
		p.limit(ctx, ending, writing, stopWriting)
		return nil
	})
	return p.join(ctx, writing, &group)
}

var (
	errDone  = errors.New("the run has ended")
	errGrace = errors.New("the grace period is over")
)

// limit ends writing when the grace period after ending is over.
func (p *Pipeline) limit(ctx, ending, writing context.Context, stopWriting context.CancelCauseFunc) {
	select {
	case <-ending.Done():
	case <-writing.Done():
	}
	switch why := context.Cause(ending); {
	case why == nil || errors.Is(why, errDone): // EndPos was reached
	case ctx.Err() != nil:
		p.cfg.Logger.Info("stopping: what is in hand is finished and confirmed first", "reason", why.Error(), "grace", p.cfg.Grace.String())
	default:
		p.cfg.Logger.Error("ending: what came before is finished and confirmed first", "error", why, "grace", p.cfg.Grace.String())
	}
	if writing.Err() != nil {
		return
	}
	timer := time.NewTimer(p.cfg.Grace)
	defer timer.Stop()
	select {
	case <-timer.C:
		p.cfg.Logger.Warn("the grace period is over; what was not confirmed comes again at the next start")
		stopWriting(errGrace)
	case <-writing.Done():
	}
}

// join waits for every goroutine; but once the grace period is over, not for a sink that hangs in a system call, which
// nothing can end.
func (p *Pipeline) join(ctx, writing context.Context, group *errgroup.Group) error {
	joined := make(chan error, 1)
	go func() { joined <- group.Wait() }()
	select {
	case err := <-joined:
		return p.outcome(ctx, err)
	case <-writing.Done():
	}
	if !errors.Is(context.Cause(writing), errGrace) {
		return p.outcome(ctx, <-joined)
	}
	timer := time.NewTimer(hangLimit)
	defer timer.Stop()
	select {
	case err := <-joined:
		return p.outcome(ctx, err)
	case <-timer.C:
		return errors.New("a sink hangs and cannot be stopped: given up; what it has not confirmed comes again")
	}
}

// outcome is nil for a run that ended because it was asked to.
func (p *Pipeline) outcome(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, errGrace) || errors.Is(err, errDone)) {
		return nil
	}
	return err
}

// loop opens the sinks, takes batches and has them written until taking is done.
func (p *Pipeline) loop(opening, taking, writing context.Context) error {
	mark, err := p.cfg.Stream.Origin(taking)
	if err != nil {
		return p.ended(taking, err)
	}
	p.confirmer.begin(mark)
	origin := sink.Origin{SystemID: mark.SystemID, Timeline: mark.Timeline, Database: mark.Database, Slot: mark.Slot}
	for _, b := range p.cfg.Stream.History() {
		origin.History = append(origin.History, sink.Branch(b))
	}
	open := job{open: &origin, patient: p.cfg.Stream.TookOver()}
	if err := p.all(opening, func(*worker) job { return open }); err != nil {
		return p.ended(taking, err)
	}
	for taking.Err() == nil {
		batch, err := p.cfg.Stream.Next(taking)
		if err != nil {
			return p.ended(taking, err)
		}
		if err := p.deliver(writing, batch); err != nil {
			return err
		}
	}
	return context.Cause(taking)
}

// ended prefers the reason why the stream ended to the fact that it did.
func (p *Pipeline) ended(taking context.Context, err error) error {
	if taking.Err() != nil {
		return context.Cause(taking)
	}
	return err
}

// deliver writes batch to every sink and notes what may be confirmed then.
func (p *Pipeline) deliver(writing context.Context, batch *replication.Batch) error {
	if len(batch.Events) > 0 {
		failpoint.Hit("pipeline.before-write")
		if err := p.all(writing, func(*worker) job { return job{events: batch.Events} }); err != nil {
			return err
		}
		failpoint.Hit("pipeline.after-write")
		p.confirmer.delivered(batch.Events[len(batch.Events)-1].LSN)
	}
	p.cfg.Observer.Durable(batch.Events, batch.End)
	if batch.End != 0 {
		p.confirmer.durable(batch.End)
	}
	return nil
}

// all gives every worker its job and waits until all have done it. The batch is the workers' until then, so it waits for
// each of them even if one has failed.
func (p *Pipeline) all(ctx context.Context, jobFor func(*worker) job) error {
	for _, w := range p.workers {
		j := jobFor(w)
		j.ctx = ctx
		w.jobs <- j
	}
	var errs []error
	for _, w := range p.workers {
		if err := <-w.done; err != nil {
			errs = append(errs, fmt.Errorf("sink %s: %w", w.name, err))
		}
	}
	return errors.Join(errs...)
}
