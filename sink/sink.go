// Package sink is the contract between the pipeline and the places where audit events are kept. Each destination has a
// package of its own below this one.
package sink

import (
	"context"
	"errors"
	"fmt"

	"pgwitness/decoder"
)

// Origin names the stream of events a sink is opened for. LSNs compare only within one cluster and its history, so a sink
// that remembers its position remembers the Origin with it, and refuses another one, of which Continues tells it, with
// ErrForeign.
type Origin struct {
	// SystemID is the cluster's system identifier (IDENTIFY_SYSTEM), a decimal number as text.
	SystemID string `json:"system_id"`
	// Timeline is the cluster's timeline, from 1.
	Timeline int32 `json:"timeline"`
	// Database is the database the audit table lives in.
	Database string `json:"database"`
	// Slot is the replication slot's name.
	Slot string `json:"slot"`
	// History says where the timelines before Timeline were left, oldest first; empty on timeline 1, and where the server
	// does not know. It belongs to the server that is followed now, and need not be remembered.
	History []Branch `json:"-"`
}

// Branch is where a cluster left a timeline for the next one, when a standby was promoted or a backup restored: what lies
// before At is the same on both.
type Branch struct {
	Timeline int32
	At       decoder.LSN
}

// Continues returns nil if a destination that was written under the origin earlier, up to the event at last (the zero
// Position if it holds none), may be gone on with under o: same slot of the same cluster, and either the same timeline or
// a later one on which everything up to last happened too. Its error is an ErrForeign, and says how the two differ.
func (o Origin) Continues(earlier Origin, last decoder.Position) error {
	if o.SystemID != earlier.SystemID || o.Database != earlier.Database || o.Slot != earlier.Slot {
		return fmt.Errorf("%w: it holds events of %s, and this is %s", ErrForeign, earlier, o)
	}
	if o.Timeline == earlier.Timeline {
		return nil
	}
	for _, b := range o.History {
		switch {
		case b.Timeline != earlier.Timeline:
		case last.LSN < b.At:
			return nil
		default:
			return fmt.Errorf("%w: it holds events of timeline %d up to %s, and the server left that timeline at %s: the rows from "+
				"there on are not in the database any more, and what it holds is the evidence of them", ErrForeign, earlier.Timeline, last, b.At)
		}
	}
	return fmt.Errorf("%w: it holds events of %s, and this is %s, which does not descend from that timeline", ErrForeign, earlier, o)
}

// String names o for a person.
func (o Origin) String() string {
	return fmt.Sprintf("slot %s of database %s on cluster %s, timeline %d", o.Slot, o.Database, o.SystemID, o.Timeline)
}

// Sink is a destination. The pipeline calls its methods from one goroutine, in the order Open, Write…, Close.
type Sink interface {
	// Open readies the destination for origin's events and returns the position of the last event it durably holds, the
	// zero Position if it holds none or cannot tell; the pipeline never sends an event at or before that position. An
	// Open that failed is called again after a while, unless the error is an ErrConfig, an ErrForeign or an ErrClosed.
	Open(ctx context.Context, origin Origin) (decoder.Position, error)

	// Write makes events durable, in order, and returns nil only when every one of them is. The events and their bytes
	// belong to the caller: they may not be changed, nor kept after Write has returned. After an error the same events
	// come again, until they are durable; a sink that can remember its position must then hold each event once, whatever
	// part of the failed Write had reached it. Write returns promptly with ctx's error once ctx is done, having made
	// durable what it could.
	//
	// An event that the destination will never take, whatever is tried, is told by a RejectedError. A sink that can remember
	// its position has then made durable nothing from that event on: it would otherwise count as held after a restart.
	Write(ctx context.Context, events []decoder.Event) error

	// Close releases what Open took. It does not need to make anything durable: what Write returned nil for already is.
	Close() error
}

// RejectedError is an error of Write for an event that the destination refuses for good: one that is too large for it, or not
// of its schema. What may be taken on another day is no such event; when in doubt return any other error, which is retried.
// The pipeline has every event before it written, and then keeps it where the user wants such events kept, as a dead letter;
// without such a place it goes on trying, as after any error. So nothing is skipped without the user's word.
type RejectedError struct {
	// Position is the event's, which must be one of those that Write was given: the first that is refused.
	Position decoder.Position
	// Reason says why in the destination's words, for a log and for the dead letter. It holds nothing of the row.
	Reason string
}

// Error says which event was refused and why.
func (e *RejectedError) Error() string {
	return "the destination refuses event " + e.Position.String() + " for good: " + e.Reason
}

// These classes tell the pipeline not to try again. Wrap them with fmt.Errorf("…: %w", …); any other error is retried.
var (
	// ErrConfig is a destination that cannot work as configured: a person must change the configuration (exit code 2).
	ErrConfig = errors.New("sink configuration")
	// ErrForeign is a destination whose position belongs to another cluster, timeline or slot (exit code 4).
	ErrForeign = errors.New("position of another origin")
	// ErrClosed is a destination that has gone for good, such as a pipe whose reader left (exit code 1).
	ErrClosed = errors.New("destination closed")
)
