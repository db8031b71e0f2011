package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"pgwitness/decoder"
	"pgwitness/sink"
)

// deadLetters keep the events that a sink refused for good. They are a sink themselves, of the native format with one member
// more; if it remembers its position, each dead letter is kept once, whatever comes again after a crash.
type deadLetters struct {
	sink sink.Sink
	of   string // the name of the sink that refused them
	log  *slog.Logger

	opened bool
	last   decoder.Position // of the last one that is kept

	told   time.Time // when the log was told last
	untold int       // how many came since
	reason string    // of the last one
}

// refusal is the member "dead_letter" of a dead letter.
type refusal struct {
	Sink   string    `json:"sink"`
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"`
}

// refused returns which of events err refuses for good, and why; -1 if it refuses none.
func refused(err error, events []decoder.Event) (at int, reason string) {
	rejected, ok := errors.AsType[*sink.RejectedError](err)
	if !ok {
		return -1, ""
	}
	at = slices.IndexFunc(events, func(e decoder.Event) bool { return e.Position == rejected.Position })
	return at, rejected.Reason
}

// open opens the place where they are kept, once.
func (d *deadLetters) open(ctx context.Context, origin sink.Origin) error {
	if d.opened {
		return nil
	}
	position, err := d.sink.Open(ctx, origin)
	if err != nil {
		return fmt.Errorf("its dead letters: %w", err)
	}
	d.opened, d.last = true, position
	return nil
}

// keep makes e a dead letter, durably.
func (d *deadLetters) keep(ctx context.Context, e *decoder.Event, reason string) error {
	member, err := json.Marshal(refusal{Sink: d.of, Reason: reason, Time: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := d.sink.Write(ctx, []decoder.Event{e.With("dead_letter", member)}); err != nil {
		return fmt.Errorf("its dead letters: %w", err)
	}
	d.last, d.reason = e.Position, reason
	d.untold++
	return nil
}

// tell tells the log of dead letters that it does not know of, if that is as long ago as every.
func (d *deadLetters) tell(every time.Duration) {
	if d.untold == 0 || time.Since(d.told) < every {
		return
	}
	d.log.Error("the sink refuses events for good: they are kept as dead letters; mend the destination, and deliver them by hand",
		"events", d.untold, "last", d.last, "reason", d.reason)
	d.told, d.untold = time.Now(), 0
}

func (d *deadLetters) close() error {
	d.tell(0)
	return d.sink.Close()
}
