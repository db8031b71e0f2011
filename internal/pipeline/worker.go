package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/retry"
	"pgwitness/sink"
)

// job is one call of a sink, repeated until it succeeds: Open if open is set, Write otherwise.
type job struct {
	ctx    context.Context
	open   *sink.Origin
	events []decoder.Event
	// patient tries again after a sink.ErrConfig too. At the start of a process such an error is a mistake, told by ending; hours
	// later it may be a mount that is away, and a replica that took over and ended for it would leave nobody.
	patient bool
}

// worker calls one sink, and the one of its dead letters, from one goroutine. The loop gives it a job and waits for its outcome.
type worker struct {
	name     string
	sink     sink.Sink
	filter   Filter
	observer Observer
	log      *slog.Logger
	jobs     chan job
	done     chan error

	// These are owned by run's goroutine.
	letters *deadLetters    // nil where there is no place for them
	outage  *retry.Outage   // of the sink
	chosen  []decoder.Event // memory for what the filter lets pass

	mu    sync.Mutex
	state SinkState // guarded by mu; written by run's goroutine
}

func newWorker(d Destination, observer Observer, log *slog.Logger) *worker {
	w := &worker{
		name: d.Name, sink: d.Sink, filter: d.Filter, observer: observer, log: log.With("sink", d.Name),
		jobs: make(chan job, 1), done: make(chan error, 1),
		state: SinkState{Name: d.Name, State: "opening"},
	}
	w.outage = retry.NewOutage(w.log)
	if d.DeadLetters != nil {
		w.letters = &deadLetters{sink: d.DeadLetters, of: d.Name, log: w.log}
	}
	return w
}

// run does jobs until there are no more, then closes the sink.
func (w *worker) run() error {
	for j := range w.jobs {
		err := w.do(j)
		if w.letters != nil {
			w.letters.tell(retry.TellEvery)
		}
		w.done <- err
	}
	err := w.sink.Close()
	if w.letters != nil {
		err = errors.Join(err, w.letters.close())
	}
	return err
}

// do does one job.
func (w *worker) do(j job) error {
	if j.open != nil {
		return w.persist(j, func() error { return w.open(j.ctx, *j.open) })
	}
	events := after(j.events, w.current().Position)
	if len(events) == 0 {
		return nil // an earlier run delivered them
	}
	chosen := w.choose(events)
	defer clear(w.chosen) // a large line is let go with its batch
	if err := w.persist(j, func() error { return w.write(j.ctx, after(chosen, w.current().Position)) }); err != nil {
		return err
	}
	w.set(func(s *SinkState) { s.Position = events[len(events)-1].Position })
	return nil
}

// persist makes attempts until one succeeds, j's context is done, or the error needs a person.
func (w *worker) persist(j job, attempt func() error) error {
	backoff := retry.New()
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		// One that was interrupted too: an attempt that neither fails nor succeeds counts as one that hangs.
		w.observer.Failed(w.name, sink.Reason(err))
		if j.ctx.Err() != nil {
			return context.Cause(j.ctx)
		}
		if permanent(err) && !(j.patient && errors.Is(err, sink.ErrConfig)) {
			w.set(func(s *SinkState) { s.failed(err, time.Time{}) })
			return err
		}
		wait := backoff.Next()
		w.set(func(s *SinkState) { s.failed(err, time.Now().Add(wait)) })
		w.outage.Failed(slog.LevelError, sink.Reason(err), "the sink fails: nothing is confirmed and nothing lost; trying again until it works",
			"error", err)
		if err := retry.Pause(j.ctx, wait); err != nil {
			return err
		}
	}
}

func permanent(err error) bool {
	return errors.Is(err, sink.ErrConfig) || errors.Is(err, sink.ErrForeign) || errors.Is(err, sink.ErrClosed)
}

// open opens the sink, and the one of its dead letters before it.
func (w *worker) open(ctx context.Context, origin sink.Origin) error {
	if w.letters != nil {
		if err := w.letters.open(ctx, origin); err != nil {
			return err
		}
	}
	position, err := w.sink.Open(ctx, origin)
	if err == nil {
		w.succeeded(func(s *SinkState) { s.Position = position })
	}
	return err
}

// choose returns those of events that the sink is to get, and counts the others.
func (w *worker) choose(events []decoder.Event) []decoder.Event {
	if w.filter.empty() {
		return events
	}
	w.chosen = w.filter.choose(events, w.chosen[:0])
	if n := len(events) - len(w.chosen); n > 0 {
		w.observer.Filtered(w.name, n)
		w.set(func(s *SinkState) { s.Filtered += uint64(n) })
	}
	return w.chosen
}

// write makes events durable, those that the sink refuses for good among its dead letters if there is a place for them. It
// keeps to the order even then: an event becomes a dead letter only after the sink has all before it, so that the position
// of the last dead letter says which of them are kept already.
func (w *worker) write(ctx context.Context, events []decoder.Event) error {
	for n := len(events); n > 0; {
		w.observer.Attempt(w.name)
		err := w.sink.Write(ctx, events[:n])
		if err == nil {
			w.delivered(events[:n])
			events = events[n:]
			n = len(events)
			continue
		}
		at, reason := refused(err, events[:n])
		if at < 0 || w.letters == nil {
			return err
		}
		w.observer.Failed(w.name, sink.Reason(err))
		if at > 0 {
			n = at
			continue
		}
		if err := w.bury(ctx, &events[0], reason); err != nil {
			return err
		}
		events = events[1:]
		n = len(events)
	}
	return nil
}

// bury makes e a dead letter, unless an earlier run did.
func (w *worker) bury(ctx context.Context, e *decoder.Event, reason string) error {
	if e.Compare(w.letters.last) > 0 {
		if err := w.letters.keep(ctx, e, reason); err != nil {
			return err
		}
		w.observer.DeadLetter(w.name, 1)
		w.set(func(s *SinkState) { s.DeadLetters++ })
	}
	w.succeeded(func(s *SinkState) { s.Position = e.Position })
	return nil
}

// delivered notes that the sink has made events durable.
func (w *worker) delivered(events []decoder.Event) {
	bytes := 0
	for i := range events {
		bytes += len(events[i].Line())
	}
	w.observer.Delivered(w.name, len(events), bytes)
	w.succeeded(func(s *SinkState) {
		s.Position = events[len(events)-1].Position
		s.LastSuccess = time.Now()
		s.DeliveredEvents += uint64(len(events))
		s.DeliveredBytes += uint64(bytes)
	})
}

// after is the part of events, which are in order, that comes after position.
func after(events []decoder.Event, position decoder.Position) []decoder.Event {
	if len(events) == 0 || events[0].Compare(position) > 0 {
		return events
	}
	first, found := slices.BinarySearchFunc(events, position, func(e decoder.Event, p decoder.Position) int { return e.Compare(p) })
	if found {
		first++
	}
	return events[first:]
}

func (w *worker) current() SinkState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

func (w *worker) set(change func(*SinkState)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.state)
}

// succeeded notes a success and says so if it ends a failure.
func (w *worker) succeeded(change func(*SinkState)) {
	w.set(func(s *SinkState) {
		change(s)
		s.State, s.Error = "ok", ""
		s.FailingSince, s.NextAttempt = time.Time{}, time.Time{}
	})
	w.outage.Over("the sink works again: going on where it stopped")
}
