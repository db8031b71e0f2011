package pipeline_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgwitness/internal/replication"
)

// A stream may end while a sink cannot be opened, which has no attempt in hand that could be waited for.
func TestStreamThatEndsWhileASinkCannotBeOpened(t *testing.T) {
	tests := []struct {
		name string
		// ends makes the stream end with want.
		ends func(*world)
		want error
		// opens is when the sink can be opened after all; takes is how long the run lasts at most.
		opens, takes time.Duration
		delivered    bool
	}{
		{"for good", garbage, replication.ErrEvidence, time.Hour, 12 * time.Second, false},
		{"within the grace period", garbage, replication.ErrEvidence, 3 * time.Second, 9 * time.Second, true},
		{"for another consumer", overtake, replication.ErrStale, time.Hour, time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, oneSink, func(w *world) {
				w.sinks[0].shutOut(true)
				r := w.start()
				w.commit(2)
				synctest.Wait() // it streams, and the first attempt has failed
				began := time.Now()
				tt.ends(w)
				opening := time.AfterFunc(tt.opens, func() { w.sinks[0].shutOut(false) })
				defer opening.Stop()
				if err := r.wait(); !errors.Is(err, tt.want) {
					t.Errorf("the run ended with %v, want %v", err, tt.want)
				}
				if took := time.Since(began); took > tt.takes {
					t.Errorf("that took %s, want at most %s", took, tt.takes)
				}
				if got := len(w.sinks[0].durable()) == 2; got != tt.delivered {
					t.Errorf("what came before was delivered: %t, want %t", got, tt.delivered)
				}
			})
		})
	}
}

func garbage(w *world) { w.server.CommitGarbage(1) }

// overtake is another consumer that has the slot for a moment and goes on with it.
func overtake(w *world) {
	w.server.Advance(w.server.Confirmed() + 1)
	w.server.Disconnect()
}
