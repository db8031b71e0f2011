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

// SinkState is the state of one sink, for people.
type SinkState struct {
	Name string `json:"name"`
	// State is "opening", "ok" or "failing".
	State string `json:"state"`
	// Error is the last failure's, empty once it works again.
	Error string `json:"error,omitempty"`
	// Position is of the last event the sink has made durable.
	Position decoder.Position `json:"position"`
	// LastSuccess is when the last write succeeded; zero before the first.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// FailingSince is when the first of the failures came that no success has ended, and NextAttempt when it is tried again,
	// past while that is being done; both are zero while State is another than "failing".
	FailingSince time.Time `json:"failing_since,omitzero"`
	NextAttempt  time.Time `json:"next_attempt,omitzero"`
	// Failures counts attempts to open it or to write to it that failed, DeliveredEvents and DeliveredBytes what it has made
	// durable, in the native format and before any compression; all since this process began.
	Failures        uint64 `json:"failures"`
	DeliveredEvents uint64 `json:"delivered_events"`
	DeliveredBytes  uint64 `json:"delivered_bytes"`
}

// job is one call of a sink, repeated until it succeeds: Open if open is set, Write otherwise.
type job struct {
	ctx    context.Context
	open   *sink.Origin
	events []decoder.Event
}

// worker calls one sink, from one goroutine. The loop gives it a job and waits for its outcome.
type worker struct {
	name     string
	sink     sink.Sink
	observer Observer
	log      *slog.Logger
	jobs     chan job
	done     chan error

	mu    sync.Mutex
	state SinkState // guarded by mu; written by run's goroutine
}

func newWorker(d Destination, observer Observer, log *slog.Logger) *worker {
	return &worker{
		name: d.Name, sink: d.Sink, observer: observer, log: log.With("sink", d.Name),
		jobs: make(chan job, 1), done: make(chan error, 1),
		state: SinkState{Name: d.Name, State: "opening"},
	}
}

// run does jobs until there are no more, then closes the sink.
func (w *worker) run() error {
	for j := range w.jobs {
		w.done <- w.do(j)
	}
	return w.sink.Close()
}

// do does one job, again and again until it succeeds, its context is done, or the error needs a person.
func (w *worker) do(j job) error {
	backoff := retry.New()
	for {
		err := w.attempt(j)
		if err == nil {
			return nil
		}
		if j.ctx.Err() != nil {
			return context.Cause(j.ctx)
		}
		w.observer.Failed(w.name, sink.Reason(err))
		if permanent(err) {
			w.set(func(s *SinkState) { s.failed(err, time.Time{}) })
			return err
		}
		wait := backoff.Next()
		w.failing(err, time.Now().Add(wait))
		if err := retry.Pause(j.ctx, wait); err != nil {
			return err
		}
	}
}

func permanent(err error) bool {
	return errors.Is(err, sink.ErrConfig) || errors.Is(err, sink.ErrForeign) || errors.Is(err, sink.ErrClosed)
}

// attempt calls the sink once.
func (w *worker) attempt(j job) error {
	if j.open != nil {
		position, err := w.sink.Open(j.ctx, *j.open)
		if err == nil {
			w.succeeded(func(s *SinkState) { s.Position = position })
		}
		return err
	}
	events := after(j.events, w.current().Position)
	if len(events) == 0 {
		return nil // an earlier run delivered them
	}
	w.observer.Attempt(w.name)
	if err := w.sink.Write(j.ctx, events); err != nil {
		return err
	}
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
	return nil
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

// failed notes a failure; next is when it is tried again, zero if it is not.
func (s *SinkState) failed(err error, next time.Time) {
	if s.State != "failing" {
		s.FailingSince = time.Now()
	}
	s.State, s.Error, s.NextAttempt = "failing", err.Error(), next
	s.Failures++
}

// failing notes a failure and says so, once for each failure that is not the one before.
func (w *worker) failing(err error, next time.Time) {
	before := w.current()
	w.set(func(s *SinkState) { s.failed(err, next) })
	if before.State != "failing" || before.Error != err.Error() {
		w.log.Error("the sink fails: nothing is confirmed and nothing lost; trying again until it works", "error", err)
	}
}

// succeeded notes a success and says so if it ends a failure.
func (w *worker) succeeded(change func(*SinkState)) {
	before := w.current()
	w.set(func(s *SinkState) {
		change(s)
		s.State, s.Error = "ok", ""
		s.FailingSince, s.NextAttempt = time.Time{}, time.Time{}
	})
	if before.State == "failing" {
		w.log.Info("the sink works again")
	}
}
