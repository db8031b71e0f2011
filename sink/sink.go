// Package sink is the contract between the pipeline and the places where audit events are kept. Each destination has a
// package of its own below this one.
package sink

import (
	"context"
	"errors"

	"pgwitness/decoder"
)

// Origin names the stream of events a sink is opened for. LSNs compare only within one cluster and timeline, so a sink
// that remembers its position remembers the Origin with it, and refuses another one with ErrForeign.
type Origin struct {
	// SystemID is the cluster's system identifier (IDENTIFY_SYSTEM), a decimal number as text.
	SystemID string `json:"system_id"`
	// Timeline is the cluster's timeline, from 1.
	Timeline int32 `json:"timeline"`
	// Database is the database the audit table lives in.
	Database string `json:"database"`
	// Slot is the replication slot's name.
	Slot string `json:"slot"`
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
	Write(ctx context.Context, events []decoder.Event) error

	// Close releases what Open took. It does not need to make anything durable: what Write returned nil for already is.
	Close() error
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
