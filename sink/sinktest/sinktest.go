// Package sinktest is the conformance suite of the contract in package sink. The test of every destination calls Run:
//
//	func TestConformance(t *testing.T) {
//		sinktest.Run(t, func(t *testing.T) sinktest.Harness {
//			path := filepath.Join(t.TempDir(), "audit.jsonl")
//			return sinktest.Harness{
//				New:       func(t *testing.T) sink.Sink { … },
//				Read:      func(t *testing.T) [][]byte { … },
//				Remembers: true,
//			}
//		})
//	}
//
// What it cannot do for a destination, and its own tests have to: kill the process between any two system calls, and make
// each kind of failure that the destination knows.
package sinktest

import (
	"testing"

	"go.uber.org/goleak"

	"pgwitness/decoder"
	"pgwitness/sink"
)

// Harness is one destination under test.
type Harness struct {
	// New returns a sink that is not open yet. Each call returns a new one for the same destination, as a new process
	// would have it.
	New func(t *testing.T) sink.Sink
	// Read returns what the destination durably holds, oldest first: each event in the native format, without its newline.
	Read func(t *testing.T) [][]byte
	// Remembers says whether the sink knows its position after a restart. Such a sink holds each event once, whatever
	// happens; any other may hold it again after a failure or a restart.
	Remembers bool
	// Abandon lets go of an open sink the way a killed process does: the operating system frees what it held, and nothing
	// is finished that was under way. Defaults to Close, which suits a sink whose Close makes nothing durable.
	Abandon func(t *testing.T, s sink.Sink)
	// Refuse makes the destination refuse the event at a position for good (sink.RejectedError). May be nil for a destination
	// that takes everything: then the suite does not try it.
	Refuse func(t *testing.T, position decoder.Position)
	// Break makes the destination fail, and Mend makes it work again. Both may be nil: then the suite does not try it.
	Break, Mend func(t *testing.T)
}

// Origin is the origin that the suite opens its sinks for.
var Origin = sink.Origin{SystemID: "7340928374655901221", Timeline: 1, Database: "shop", Slot: "pgwitness"}

const firstLSN = decoder.LSN(0x16B3748)

// Run runs the suite, each case against a fresh destination that setup prepares. It also fails for goroutines that are left
// when a case and its cleanups have ended, so it cannot run beside parallel tests.
func Run(t *testing.T, setup func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(*suite)
	}{
		{"keeps the order", (*suite).order},
		{"is durable when Write returns", (*suite).durable},
		{"resumes in the middle of a transaction", (*suite).resumeInTransaction},
		{"takes an empty batch", (*suite).emptyBatch},
		{"takes a huge event", (*suite).hugeEvent},
		{"takes many small events", (*suite).manyEvents},
		{"does not keep what it was given", (*suite).keepsNothing},
		{"obeys its context", (*suite).context},
		{"recovers from a failure", (*suite).failure},
		{"refuses an event for good", (*suite).refusal},
		{"refuses a foreign origin", (*suite).foreignOrigin},
		{"goes on on a timeline that descends from its own", (*suite).nextTimeline},
		{"closes before it is open", (*suite).closeUnopened},
	} {
		t.Run(c.name, func(t *testing.T) {
			running := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, running) })
			s := &suite{T: t, Harness: setup(t)}
			t.Cleanup(s.close)
			c.run(s)
		})
	}
}
