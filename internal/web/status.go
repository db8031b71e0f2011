package web

import (
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
)

// Status is what /status shows. Keys may be added; those that are there stay.
type Status struct {
	Version string `json:"version"`
	// Since is when this process began to count.
	Since  time.Time `json:"since"`
	Source Source    `json:"source"`
	// Slot is what the catalog last said; null before it was read.
	Slot  *replication.SlotState `json:"slot"`
	Sinks []pipeline.SinkState   `json:"sinks"`
	// Transactions and Events are how many every sink has made durable since Since; the others are how many of the events
	// tell of tampering, of announced retention, and of a DELETE without what was deleted.
	Transactions     uint64 `json:"transactions"`
	Events           uint64 `json:"events"`
	TamperEvents     uint64 `json:"tamper_events"`
	RetentionEvents  uint64 `json:"retention_events"`
	IncompleteEvents uint64 `json:"incomplete_events"`
}

// Source is what is followed, and how far.
type Source struct {
	Name        string `json:"name"`
	Database    string `json:"database"`
	Slot        string `json:"slot"`
	Publication string `json:"publication"`
	Table       string `json:"table"`
	// Connected says whether the stream is connected and streams, StreamingSince since when; it is left out while it does not.
	Connected      bool      `json:"connected"`
	StreamingSince time.Time `json:"streaming_since,omitzero"`
	// Received is up to where the server has sent, Confirmed the flush position it was told; 0/0 before the first of each.
	Received  decoder.LSN `json:"received_lsn"`
	Confirmed decoder.LSN `json:"confirmed_lsn"`
	// LastError is why the last connection was lost or could not be made, one of replication.Reasons; left out if none was.
	// The error itself is in the log only: a server's text is not for everyone who can reach this port.
	LastError string `json:"last_error,omitempty"`
}

// NewStatus puts together what is known of one moment. Of source, the names are taken, and the rest comes from now.
func NewStatus(version string, source Source, now metrics.Snapshot, sinks []pipeline.SinkState) Status {
	source.Connected, source.StreamingSince = now.Streaming, now.StreamingSince
	source.Received, source.Confirmed = now.Received, now.Confirmed
	source.LastError = now.Reconnect
	return Status{
		Version: version, Since: now.Since, Source: source, Slot: now.Slot, Sinks: sinks,
		Transactions: now.Transactions, Events: now.Events, TamperEvents: now.TamperEvents,
		RetentionEvents: now.RetentionEvents, IncompleteEvents: now.IncompleteEvents,
	}
}
