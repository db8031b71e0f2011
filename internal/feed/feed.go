// Package feed keeps the newest durable events for whoever wants to look at them while they come.
package feed

import (
	"sync"

	"pgwitness/decoder"
	"pgwitness/internal/pipeline"
)

// Config says how much is kept.
type Config struct {
	// Next is told everything first. It has no default.
	Next pipeline.Observer
	// Events is how many are kept. Defaults to 8192.
	Events int
	// Bytes bounds their lines together, and a sixteenth of it each of them. Defaults to 4 MiB.
	Bytes int
}

// Feed is a pipeline.Observer. All who look share what it keeps, so that neither their number nor how slow they are takes
// memory, and nobody holds up the pipeline: who is too slow misses events and is told how many.
type Feed struct {
	pipeline.Observer
	maxEvents, maxBytes int

	mu     sync.Mutex // guards the rest
	events []decoder.Event
	bytes  int
	next   uint64        // the number of the event that comes after the last of events
	more   chan struct{} // closed when there are more; nil if nobody waits
}

// New returns a Feed that keeps nothing yet.
func New(cfg Config) *Feed {
	if cfg.Events <= 0 {
		cfg.Events = 8192
	}
	if cfg.Bytes <= 0 {
		cfg.Bytes = 4 << 20
	}
	return &Feed{Observer: cfg.Next, maxEvents: cfg.Events, maxBytes: cfg.Bytes}
}

// Durable implements pipeline.Observer.
func (f *Feed) Durable(events []decoder.Event, end decoder.LSN) {
	f.Observer.Durable(events, end)
	if len(events) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next += uint64(len(events))
	for _, e := range events[f.old(events):] {
		if len(e.Line()) > f.maxBytes/16 {
			f.events = append(f.events, decoder.Event{}) // only counted: one row of 100 MB would push out all others
			continue
		}
		f.events = append(f.events, e.Clone())
		f.bytes += len(e.Line())
	}
	f.trim()
	if f.more != nil {
		close(f.more)
		f.more = nil
	}
}

// old is how many of events are too many to be copied at all.
func (f *Feed) old(events []decoder.Event) int {
	from := max(0, len(events)-f.maxEvents)
	bytes := 0
	for i := len(events) - 1; i >= from; i-- {
		if n := len(events[i].Line()); n <= f.maxBytes/16 {
			bytes += n
		}
		if bytes > f.maxBytes {
			from = i + 1
		}
	}
	if from > 0 { // those between would be missing
		clear(f.events)
		f.events, f.bytes = f.events[:0], 0
	}
	return from
}

// trim forgets the oldest events until the rest is within the bounds.
func (f *Feed) trim() {
	n := 0
	for ; len(f.events)-n > f.maxEvents || f.bytes > f.maxBytes; n++ {
		f.bytes -= len(f.events[n].Line())
	}
	clear(f.events[:n])
	f.events = f.events[n:]
}

// End is the number of the event that comes next.
func (f *Feed) End() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

// From returns the events from the number on, counted from 0, in their order, and how many of them are not kept any more or
// never were. next is where to go on, and more is closed once there is something. The events stay valid, and are read only.
func (f *Feed) From(number uint64) (events []decoder.Event, skipped, next uint64, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := f.next - min(number, f.next)
	kept := f.events[len(f.events)-int(min(wanted, uint64(len(f.events)))):]
	for _, e := range kept {
		if len(e.Line()) > 0 {
			events = append(events, e)
		}
	}
	if f.more == nil {
		f.more = make(chan struct{})
	}
	return events, wanted - uint64(len(events)), f.next, f.more
}
