package pipeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/walsendertest"
)

// An event that a sink refuses for good stops the stream, unless its dead letters were given a place.
func TestRefusedEventStopsTheStream(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		r := w.start()
		w.commit(2)
		time.Sleep(time.Second)
		refused := w.commitRefused()
		time.Sleep(time.Hour)
		if got := w.server.Confirmed(); got != w.txs[0].End {
			t.Errorf("confirmed %s, want %s: nothing past the event that was refused", got, w.txs[0].End)
		}
		if got := w.sinks[0].durable(); got[len(got)-1].Compare(refused) >= 0 {
			t.Errorf("the sink was given event %s, past the one that was refused", got[len(got)-1].Position)
		}
		w.sinks[0].refuse(nil)
		time.Sleep(time.Minute)
		_ = r.stop()
		w.holdsAll()
	})
}

func TestRefusedEventBecomesADeadLetterBeforeAnythingAfterItIsWritten(t *testing.T) {
	for name, remembers := range map[string]bool{"a sink that remembers": true, "one that does not": false} {
		t.Run(name, func(t *testing.T) {
			sinks := func(t *testing.T) []*memSink { return []*memSink{newMemSink(t, remembers)} }
			simulate(t, sinks, func(w *world) {
				w.letters = map[int]*memSink{0: newMemSink(t, true)}
				w.letters[0].script(func(int) error { return errSink })
				r := w.start()
				refused := w.commitRefused()
				time.Sleep(time.Hour)
				if got := w.server.Confirmed(); got != walsendertest.Start {
					t.Errorf("confirmed %s while the dead letter could not be written", got)
				}
				if got := w.sinks[0].durable(); len(got) != 1 || got[0].Compare(refused) >= 0 {
					t.Errorf("the sink holds %v, want what comes before %s", got, refused)
				}
				w.letters[0].script(nil)
				time.Sleep(time.Minute)
				if got := w.letters[0].durable(); len(got) != 1 || got[0].Position != refused {
					t.Errorf("the dead letters are %v, want %s", got, refused)
				}
				if got := w.server.Confirmed(); got != w.txs[0].End {
					t.Errorf("confirmed %s, want %s", got, w.txs[0].End)
				}
				_ = r.stop()
				w.holdsAll()
			})
		})
	}
}

// A restart between the dead letter and what comes after it writes the dead letter no second time.
func TestDeadLetterIsWrittenOnce(t *testing.T) {
	simulate(t, oneSink, func(w *world) {
		w.letters = map[int]*memSink{0: newMemSink(t, true)}
		w.sinks[0].script(failAfterRefusal)
		r := w.start()
		w.commitRefused()
		time.Sleep(time.Minute)
		if got := len(w.letters[0].durable()); got != 1 {
			t.Fatalf("%d dead letters before the restart, want 1", got)
		}
		_ = r.stop()
		written := w.letters[0].writes
		w.sinks[0].script(nil)
		r = w.start()
		time.Sleep(time.Minute)
		if w.letters[0].writes != written {
			t.Error("the dead letter was written again")
		}
		_ = r.stop()
		w.holdsAll()
	})
}

// The file sink takes dead letters as it takes any event: it knows the position of the last one after a crash.
func TestDeadLettersInAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "refused.jsonl")
	simulate(t, func(t *testing.T) []*memSink { return []*memSink{newMemSink(t, false)} }, func(w *world) {
		w.file = path
		w.sinks[0].script(failAfterRefusal)
		r := w.start()
		refused := w.commitRefused()
		time.Sleep(time.Second)
		_ = r.stop() // what comes after the dead letter is not written
		w.sinks[0].script(nil)
		r = w.start()
		time.Sleep(time.Minute)
		if got := w.server.Confirmed(); got != w.txs[0].End {
			t.Errorf("confirmed %s, want %s", got, w.txs[0].End)
		}
		_ = r.stop()
		text, err := os.ReadFile(w.file)
		if err != nil {
			t.Fatal(err)
		}
		event := string(pgoutputtest.Events(refused.LSN, 1, 3)[1].JSON())
		want := strings.TrimSuffix(strings.Replace(event, `"xid":742`, `"xid":1`, 1), "}") +
			`,"dead_letter":{"sink":"a","reason":"the script says so","time":"2000-01-01T00:00:00Z"}}` + "\n"
		if diff := cmp.Diff(want, string(text)); diff != "" {
			t.Errorf("the dead letters (-want +got):\n%s", diff)
		}
	})
}

// failAfterRefusal lets a Write be refused, what stands before the refused event be written, and that event be refused once
// more; then it fails.
func failAfterRefusal(attempt int) error {
	if attempt > 3 {
		return errSink
	}
	return nil
}

func TestSinkThatGetsOnlySomeTables(t *testing.T) {
	two := func(t *testing.T) []*memSink { return []*memSink{newMemSink(t, true), newMemSink(t, false)} }
	simulate(t, two, func(w *world) {
		w.filters = map[int]pipeline.Filter{1: onlyCustomers}
		r := w.start()
		for range 5 {
			w.commit(1)
			time.Sleep(time.Second)
		}
		w.server.Disconnect()
		last := w.commit(20)
		time.Sleep(time.Minute)
		if got := w.server.Confirmed(); got != last.End {
			t.Errorf("confirmed %s, want %s: what is not for a sink does not hold it up", got, last.End)
		}
		if got, writes := len(w.sinks[1].durable()), w.sinks[1].writes; got != 25/3 || writes != 2 {
			t.Errorf("the sink got %d events in %d writes, want %d in 2", got, writes, 25/3)
		}
		_ = r.stop()
		w.holdsAll()
	})
}

var onlyCustomers = pipeline.Filter{Tables: []pipeline.TableName{{Name: "customers"}}}

// commitRefused commits a transaction of three rows, of which the first sink refuses the second row, and returns its position.
func (w *world) commitRefused() decoder.Position {
	w.sinks[0].refuse(func(p decoder.Position) bool { return p.Seq == 1 }) // what is durable already does not come again
	return decoder.Position{LSN: w.commit(3).Commit, Seq: 1}
}
