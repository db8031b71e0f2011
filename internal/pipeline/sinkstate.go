package pipeline

import (
	"time"

	"pgwitness/decoder"
)

// SinkState is the state of one sink, for people.
type SinkState struct {
	Name string `json:"name"`
	// State is "opening", "ok" or "failing".
	State string `json:"state"`
	// Error is the last failure's, empty once it works again.
	Error string `json:"error,omitempty"`
	// Position is of the last event that the sink has made durable, or that was not for it.
	Position decoder.Position `json:"position"`
	// LastSuccess is when the last write succeeded; zero before the first.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// FailingSince is when the first of the failures came that no success has ended, and NextAttempt when it is tried again,
	// past while that is being done; both are zero while State is another than "failing".
	FailingSince time.Time `json:"failing_since,omitzero"`
	NextAttempt  time.Time `json:"next_attempt,omitzero"`
	// Failures counts attempts to open it or to write to it that failed, DeliveredEvents and DeliveredBytes what it has made
	// durable, in the native format and before any compression; all since its stream began, which losing the slot makes it do anew.
	Failures        uint64 `json:"failures"`
	DeliveredEvents uint64 `json:"delivered_events"`
	DeliveredBytes  uint64 `json:"delivered_bytes"`
	// Filtered counts the events that its filter kept from it, DeadLetters those that it refused for good and that are durable
	// among its dead letters instead.
	Filtered    uint64 `json:"filtered_events"`
	DeadLetters uint64 `json:"dead_letter_events"`
}

// failed notes a failure; next is when it is tried again, zero if it is not.
func (s *SinkState) failed(err error, next time.Time) {
	if s.State != "failing" {
		s.FailingSince = time.Now()
	}
	s.State, s.Error, s.NextAttempt = "failing", err.Error(), next
	s.Failures++
}
