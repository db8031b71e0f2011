package pipeline_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
	"pgwitness/internal/walsendertest"
)

func TestCommitIsConfirmedAtItsExactEnd(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		r := w.start()
		first := w.commit(3)
		time.Sleep(time.Second)
		if got := w.server.Confirmed(); got != first.End {
			t.Errorf("confirmed %s, want the commit's end %s", got, first.End)
		}
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		w.holdsAll()
	})
}

// The next commit record may begin exactly where the last one ended: had one byte more been confirmed, it would be lost.
func TestNextTransactionBeginsWhereTheLastOneEnded(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		r := w.start()
		first := w.commit(1)
		time.Sleep(time.Second)
		w.server.Disconnect()
		if second := w.commit(1); second.Commit != first.End {
			t.Fatalf("the script is wrong: the second transaction begins at %s, not %s", second.Commit, first.End)
		}
		time.Sleep(time.Minute)
		w.holdsAll()
		_ = r.stop()
	})
}

func TestKeepaliveIsConfirmedOnlyBehindWhatWasReceived(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		release := w.sinks[0].block()
		r := w.start()
		w.commit(2)
		time.Sleep(time.Second)
		w.server.OtherTraffic(1 << 20) // a keepalive follows, past the unwritten transaction
		time.Sleep(time.Minute)
		if got := w.server.Confirmed(); got != walsendertest.Start {
			t.Errorf("confirmed %s while nothing was durable", got)
		}
		release()
		time.Sleep(time.Second)
		w.server.OtherTraffic(1 << 20)
		time.Sleep(time.Second)
		if got, want := w.server.Confirmed(), w.txs[0].End+2<<20; got != want {
			t.Errorf("confirmed %s, want the keepalive's position %s", got, want)
		}
		_ = r.stop()
		w.holdsAll()
	})
}

func TestIdleTableKeepsTheSlotMoving(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		r := w.start()
		for range 100 {
			w.server.OtherTraffic(1 << 20)
			time.Sleep(time.Second)
		}
		if got, want := w.server.Confirmed(), walsendertest.Start+100<<20; got != want {
			t.Errorf("confirmed %s, want %s", got, want)
		}
		if n := w.sinks[0].writes; n != 0 {
			t.Errorf("the sink was written to %d times without an event", n)
		}
		_ = r.stop()
	})
}

// The scripted server fails the test when its wal_sender_timeout passes in silence.
func TestStuckSinkKeepsTheConnection(t *testing.T) {
	for _, rows := range []int{1, 20_000} { // less and more than the buffer takes
		t.Run(fmt.Sprint(rows, " rows"), func(t *testing.T) {
			simulate(t, oneSink, func(w *world) {
				w.buffer = 1 << 20
				release := w.sinks[0].block()
				r := w.start()
				w.commit(rows)
				time.Sleep(20 * walsendertest.SenderTimeout)
				if n := w.server.Dials(); n != 1 {
					t.Errorf("the client connected %d times, want once", n)
				}
				if n := w.server.Sent(); n > w.buffer {
					t.Errorf("the client took %d bytes, more than its buffer of %d", n, w.buffer)
				}
				release()
				time.Sleep(time.Minute)
				if got := w.server.Confirmed(); got != w.txs[0].End {
					t.Errorf("confirmed %s, want %s", got, w.txs[0].End)
				}
				_ = r.stop()
				w.holdsAll()
			})
		})
	}
}

func TestServerShutdown(t *testing.T) {
	for name, stuck := range map[string]bool{"working sink": false, "stuck sink": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, oneSink, func(w *world) {
				release := func() {}
				if stuck {
					release = w.sinks[0].block()
				}
				r := w.start()
				time.Sleep(time.Second)
				w.commit(10)
				w.server.OtherTraffic(100)
				begun := time.Now()
				w.server.Shutdown()
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("the shutdown took %s", took)
				}
				if !stuck && w.server.Confirmed() < w.txs[0].End {
					t.Error("the shutdown did not wait for a sink that works")
				}
				w.server.Restart(true)
				release()
				w.commit(1)
				time.Sleep(time.Minute)
				_ = r.stop()
				w.holdsAll()
			})
		})
	}
}

// A server that was restarted cleanly may have forgotten the last positions and sends transactions again.
func TestRedeliveryAfterRestartIsSuppressed(t *testing.T) {
	forgetful := func(t *testing.T) []*memSink { return []*memSink{newMemSink(t, false)} }
	simulate(t, forgetful, func(w *world) {
		r := w.start()
		for range 10 {
			w.commit(5)
			time.Sleep(time.Second)
		}
		w.server.Shutdown()
		w.server.Restart(true)
		time.Sleep(time.Minute)
		w.commit(1)
		time.Sleep(time.Minute)
		_ = r.stop()
		if got, want := len(w.sinks[0].durable()), 51; got != want {
			t.Errorf("the sink got %d events, want %d: none again", got, want)
		}
		w.holdsAll()
	})
}

func TestDisconnectInTheMiddleOfATransaction(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		w.buffer = 512 << 10
		release := w.sinks[0].block()
		r := w.start()
		w.commit(5_000) // more than the buffer takes: the server is blocked in its middle
		time.Sleep(time.Second)
		w.server.Disconnect()
		release()
		time.Sleep(time.Minute)
		_ = r.stop()
		w.holdsAll()
	})
}

func TestBlackHoleIsNoticed(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		r := w.start()
		w.commit(1)
		time.Sleep(time.Second)
		w.server.Stall(true)
		w.commit(1)
		time.Sleep(5 * time.Minute)
		if n := w.server.Dials(); n < 2 {
			t.Error("the client waited for ever on a dead link")
		}
		w.server.Stall(false)
		time.Sleep(time.Minute)
		_ = r.stop()
		w.holdsAll()
	})
}

func TestStopFinishesTheBatchInHand(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		release := w.sinks[0].block()
		r := w.start()
		w.commit(10)
		time.Sleep(time.Second)
		r.cancel(errAsked)
		time.Sleep(5 * time.Second) // within the grace period
		release()
		if err := r.wait(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if got := w.server.Confirmed(); got != w.txs[0].End {
			t.Errorf("confirmed %s, want %s: what was finished is confirmed before leaving", got, w.txs[0].End)
		}
		w.holdsAll()
	})
}

func TestStopWithAStuckSinkEndsWithTheGracePeriod(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		release := w.sinks[0].block()
		r := w.start()
		w.commit(10)
		time.Sleep(time.Second)
		begun := time.Now()
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if took := time.Since(begun); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("it took %s, want the grace period of 10s", took)
		}
		release()
		r = w.start()
		time.Sleep(time.Minute)
		_ = r.stop()
		w.holdsAll()
	})
}

func TestUndecodableRowStopsTheStream(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		r := w.start()
		w.commit(2)
		w.server.CommitGarbage(3)
		w.commit(1)
		err := r.wait()
		if !errors.Is(err, replication.ErrEvidence) {
			t.Errorf("the run ended with %v, want evidence lost", err)
		}
		if got := w.server.Confirmed(); got != w.txs[0].End {
			t.Errorf("confirmed %s, want %s: what came before, and nothing of what did not decode", got, w.txs[0].End)
		}
		for _, e := range w.sinks[0].durable() {
			if e.LSN > w.txs[0].End {
				t.Errorf("event %s came after the row that did not decode", e.Position)
			}
		}
	})
}

func TestFailingSinkDoesNotBotherTheOthers(t *testing.T) {
	two := func(t *testing.T) []*memSink { return []*memSink{newMemSink(t, false), newMemSink(t, true)} }
	simulate(t, two, func(w *world) {
		w.sinks[1].script(func(attempt int) error {
			if attempt%5 != 0 {
				return errSink
			}
			return nil
		})
		r := w.start()
		for range 5 {
			w.commit(4)
			time.Sleep(time.Minute)
		}
		_ = r.stop()
		if got := len(w.sinks[0].durable()); got != 20 {
			t.Errorf("the sink that works got %d events, want 20: none again", got)
		}
		w.holdsAll()
	})
}

func TestCheckpointThatCannotBeWrittenHoldsBackTheConfirmation(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		r := w.start()
		time.Sleep(time.Second)
		w.mu.Lock()
		w.saves = func() error { return errors.New("no space left on device") }
		w.mu.Unlock()
		w.commit(1)
		time.Sleep(time.Minute)
		if got := w.server.Confirmed(); got != walsendertest.Start {
			t.Errorf("confirmed %s without a checkpoint", got)
		}
		w.mu.Lock()
		w.saves = nil
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if got := w.server.Confirmed(); got != w.txs[0].End {
			t.Errorf("confirmed %s, want %s", got, w.txs[0].End)
		}
		_ = r.stop()
		w.holdsAll()
	})
}

func TestEndPosEndsTheRunOnceConfirmed(t *testing.T) {
	for name, at := range map[string]func([]walsendertest.Transaction) decoder.LSN{
		"the commit LSN":    func(txs []walsendertest.Transaction) decoder.LSN { return txs[2].Commit },
		"inside the record": func(txs []walsendertest.Transaction) decoder.LSN { return txs[2].Commit + 1 },
		"its last byte":     func(txs []walsendertest.Transaction) decoder.LSN { return txs[2].End - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, oneSink, func(w *world) {
				for range 6 {
					w.commit(3)
				}
				w.endPos = at(w.txs)
				if err := w.start().wait(); err != nil {
					t.Errorf("the run ended with %v", err)
				}
				if got := w.server.Confirmed(); got != w.txs[2].End {
					t.Errorf("confirmed %s, want %s", got, w.txs[2].End)
				}
				w.txs = w.txs[:3]
				w.holdsAll()
			})
		})
	}
}

func TestSlotThatSomebodyElseMovedIsEvidenceLost(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		r := w.start()
		w.commit(1)
		time.Sleep(time.Second)
		_ = r.stop()
		lost := w.commit(1)
		w.server.Advance(lost.End)
		if err := w.start().wait(); !errors.Is(err, replication.ErrEvidence) {
			t.Errorf("the run ended with %v, want evidence lost", err)
		}
	})
}

// TestRandomInterleavings is the net below the tests above: whatever happens in whatever order, every event is durable
// once, in order, and no flush position says more than the sinks hold.
func TestRandomInterleavings(t *testing.T) {
	seeds := 200
	if testing.Short() {
		seeds = 20
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			two := func(t *testing.T) []*memSink { return []*memSink{newMemSink(t, true), newMemSink(t, false)} }
			simulate(t, two, func(w *world) { interleave(w, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func interleave(w *world, rng *rand.Rand) {
	w.buffer = 64 << 10 << rng.IntN(6)
	w.letters = map[int]*memSink{rng.IntN(3): newMemSink(w.t, true)} // of one of the two sinks, or of none
	if rng.IntN(3) == 0 {
		w.filters = map[int]pipeline.Filter{rng.IntN(2): onlyCustomers}
	}
	r := w.start()
	release := func() {}
	for range 60 {
		switch rng.IntN(15) {
		case 0, 1, 2, 3:
			w.commit(1 + rng.IntN(5))
		case 4:
			w.commit(rng.IntN(400))
		case 5:
			w.server.OtherTraffic(1 + rng.IntN(1<<16))
		case 6:
			w.server.Disconnect()
		case 7:
			release()
			release = w.sinks[rng.IntN(2)].block()
		case 8:
			release()
		case 9:
			failing := rng.IntN(3)
			w.sinks[rng.IntN(2)].script(func(attempt int) error {
				if attempt%3 < failing {
					return errSink
				}
				return nil
			})
		case 10:
			if err := r.stop(); err != nil {
				w.t.Errorf("stop: %v", err)
			}
			r = w.start()
		case 11:
			w.server.Shutdown()
			w.server.Restart(rng.IntN(2) == 0)
		case 12:
			w.server.Stall(true)
			time.Sleep(time.Duration(rng.IntN(200)) * time.Second)
			w.server.Stall(false)
			w.server.Disconnect()
		case 13:
			one := uint64(1 + rng.IntN(20))
			w.sinks[rng.IntN(2)].refuse(func(p decoder.Position) bool { return (uint64(p.LSN)/0x30+p.Seq)%one == 0 })
			for _, letters := range w.letters {
				letters.script(func(attempt int) error {
					if attempt%2 == 0 {
						return errSink
					}
					return nil
				})
			}
		default:
			time.Sleep(time.Duration(rng.IntN(5_000)) * time.Millisecond)
		}
		if rng.IntN(2) == 0 {
			synctest.Wait()
		}
	}
	release()
	for i, s := range w.sinks {
		s.script(nil)
		if letters := w.letters[i]; letters != nil {
			letters.script(nil)
		} else {
			s.refuse(nil)
		}
	}
	time.Sleep(10 * time.Minute)
	if err := r.stop(); err != nil {
		w.t.Errorf("stop: %v", err)
	}
	if n := len(w.txs); n > 0 && w.server.Confirmed() < w.txs[n-1].End {
		w.t.Errorf("confirmed %s, want at least %s", w.server.Confirmed(), w.txs[n-1].End)
	}
	w.holdsAll()
}
