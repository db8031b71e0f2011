package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink"
)

// brokenSink fails until it is mended.
type brokenSink struct{ mended time.Time }

func (s *brokenSink) Open(context.Context, sink.Origin) (decoder.Position, error) {
	return decoder.Position{}, nil
}

func (s *brokenSink) Write(context.Context, []decoder.Event) error {
	if time.Now().Before(s.mended) {
		return errors.New("not mended")
	}
	return nil
}

func (s *brokenSink) Close() error { return nil }

// What people are told of a sink that fails, and of one that works again.
func TestSinkState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorker(Destination{Name: "file", Sink: &brokenSink{mended: began.Add(time.Minute)}}, nobody{}, slog.New(slog.DiscardHandler))
		if s := w.current(); s.State != "opening" {
			t.Errorf("before it is opened it is %+v", s)
		}
		done := make(chan error)
		events := pgoutputtest.Events(0x1000, 1, 3)
		go func() {
			done <- errors.Join(w.do(job{ctx: t.Context(), open: &sink.Origin{}}), w.do(job{ctx: t.Context(), events: events}))
		}()
		synctest.Wait() // it waits for its second attempt
		if s := w.current(); s.State != "failing" || !s.FailingSince.Equal(began) || !s.NextAttempt.After(began) || s.Failures != 1 {
			t.Errorf("after one failure it is %+v", s)
		}
		time.Sleep(30 * time.Second) // of the bubble's clock
		synctest.Wait()
		if s := w.current(); s.State != "failing" || !s.FailingSince.Equal(began) || !s.NextAttempt.After(time.Now()) || s.Failures < 3 || s.DeliveredEvents != 0 {
			t.Errorf("after half a minute it is %+v", s)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		bytes := uint64(0)
		for _, e := range events {
			bytes += uint64(len(e.Line()))
		}
		if s := w.current(); s.State != "ok" || s.Error != "" || !s.FailingSince.IsZero() || !s.NextAttempt.IsZero() || s.Failures < 3 ||
			s.DeliveredEvents != 3 || s.DeliveredBytes != bytes || !s.LastSuccess.Equal(time.Now()) {
			t.Errorf("mended it is %+v", s)
		}
	})
}

// interruptedSink writes until its context is done.
type interruptedSink struct{ brokenSink }

func (s *interruptedSink) Write(ctx context.Context, _ []decoder.Event) error {
	<-ctx.Done()
	return ctx.Err()
}

// told keeps the reasons of failures.
type told struct {
	nobody
	attempts int
	reasons  []string
}

func (o *told) Attempt(string) { o.attempts++ }

func (o *told) Failed(_, reason string) { o.reasons = append(o.reasons, reason) }

// Whoever was told that a write begins is told that it ended. /healthz would take it for one that hangs: after a write that was
// interrupted the process may go on, with a stream of its own.
func TestInterruptedWriteIsToldToHaveEnded(t *testing.T) {
	var observer told
	w := newWorker(Destination{Name: "file", Sink: &interruptedSink{}}, &observer, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.do(job{ctx: ctx, events: pgoutputtest.Events(0x1000, 1, 3)}); !errors.Is(err, context.Canceled) {
		t.Fatalf("an interrupted write ends with %v", err)
	}
	if want := []string{"canceled"}; observer.attempts != 1 || !slices.Equal(observer.reasons, want) {
		t.Errorf("%d attempts were told, and the failures %v; want 1 and %v", observer.attempts, observer.reasons, want)
	}
}

// misplacedSink cannot be opened before it is mended, as where its directory is on a mount that is away.
type misplacedSink struct{ brokenSink }

func (s *misplacedSink) Open(context.Context, sink.Origin) (decoder.Position, error) {
	if time.Now().Before(s.mended) {
		return decoder.Position{}, fmt.Errorf("%w: no directory", sink.ErrConfig)
	}
	return decoder.Position{}, nil
}

// At a start it is a mistake that a person must mend. A replica that took over waits for it.
func TestSinkThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := func(patient bool) error {
			w := newWorker(Destination{Name: "file", Sink: &misplacedSink{brokenSink{mended: time.Now().Add(time.Minute)}}}, nobody{}, slog.New(slog.DiscardHandler))
			return w.do(job{ctx: t.Context(), open: &sink.Origin{}, patient: patient})
		}
		if err := open(false); !errors.Is(err, sink.ErrConfig) {
			t.Errorf("at a start it ends with %v, want an ErrConfig", err)
		}
		if err := open(true); err != nil {
			t.Errorf("a replica that took over ends with %v", err)
		}
	})
}
