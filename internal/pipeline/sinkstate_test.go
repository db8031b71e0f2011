package pipeline

import (
	"context"
	"errors"
	"log/slog"
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
