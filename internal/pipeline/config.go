// Package pipeline is the loop between the stream and the sinks: take the next batch, write it to every sink, confirm. It
// starts every goroutine of a run, and joins them.
package pipeline

import (
	"log/slog"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/replication"
	"pgwitness/sink"
)

// Config says what to run.
type Config struct {
	// Stream is where the events come from.
	Stream *replication.Stream
	// Monitor watches the slot beside it. Defaults to nil: nobody does.
	Monitor *replication.Monitor
	// Destinations get every event, each at its own pace; the slowest one sets the pace of the whole.
	Destinations []Destination
	// Checkpoint remembers what was confirmed.
	Checkpoint Checkpoint
	// Grace is how long the sinks may go on with the batch in hand after the run was asked to end. Defaults to 10 s.
	Grace time.Duration
	// ConfirmEvery is the shortest time between two confirmations under load: each costs a write of the checkpoint.
	// Defaults to 200 ms.
	ConfirmEvery time.Duration
	// Observer is told what happens. Defaults to nobody.
	Observer Observer
	// Logger gets one line for each change of state. Defaults to slog.Default().
	Logger *slog.Logger
}

// Destination is a sink and what becomes of the events that are not for it.
type Destination struct {
	// Name is what it is called in metrics and logs.
	Name string
	Sink sink.Sink
	// Filter chooses the audit events that Sink gets. Defaults to all.
	Filter Filter
	// DeadLetters gets the events that Sink refuses for good (sink.RejectedError), each before anything that comes after it is
	// written or confirmed. Defaults to nil: such an event is tried again and again, as after any failure.
	DeadLetters sink.Sink
}

// Checkpoint makes a mark durable before it is confirmed.
type Checkpoint interface {
	Save(replication.Mark) error
}

// Observer is told what the loop does. Methods that name a sink are called by that sink's goroutine, Durable by the
// loop's; they must not block. The events are the batch's own and must not be kept.
type Observer interface {
	// Attempt says that a write to the sink begins, Failed that it failed and why (a word of sink.Reason), Delivered that
	// it succeeded.
	Attempt(sink string)
	Failed(sink, reason string)
	Delivered(sink string, events, bytes int)
	// Filtered says that the sink's filter kept so many events from it, DeadLetter that so many which it refused for good are
	// durable among its dead letters instead.
	Filtered(sink string, events int)
	DeadLetter(sink string, events int)
	// Durable says that every sink has events, and everything before end; a transaction is complete once an end past its
	// commit LSN was told. end may be 0, and there may be no events.
	Durable(events []decoder.Event, end decoder.LSN)
}

func (c *Config) setDefaults() {
	if c.Grace <= 0 {
		c.Grace = 10 * time.Second
	}
	if c.ConfirmEvery <= 0 {
		c.ConfirmEvery = 200 * time.Millisecond
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

type nobody struct{}

func (nobody) Attempt(string)                       {}
func (nobody) Failed(string, string)                {}
func (nobody) Delivered(string, int, int)           {}
func (nobody) Filtered(string, int)                 {}
func (nobody) DeadLetter(string, int)               {}
func (nobody) Durable([]decoder.Event, decoder.LSN) {}
