package replication

import (
	"time"

	"pgwitness/decoder"
)

// MonitorObserver is told what a Monitor reads. Its methods are called by several goroutines and must not block.
type MonitorObserver interface {
	// Answering says whether the server answers queries.
	Answering(bool)
	// ObserveServer, ObserveSlot and ObserveTable say what was read there; the table is nil while it cannot be read.
	ObserveServer(ServerState)
	ObserveSlot(SlotState)
	ObserveTable(*TableState)
	// ObserveStandby says what was read on a standby, or that it cannot be asked.
	ObserveStandby(StandbyState)
}

type nobodyWatches struct{}

func (nobodyWatches) Answering(bool)              {}
func (nobodyWatches) ObserveServer(ServerState)   {}
func (nobodyWatches) ObserveSlot(SlotState)       {}
func (nobodyWatches) ObserveTable(*TableState)    {}
func (nobodyWatches) ObserveStandby(StandbyState) {}

// ServerState is what a server says of itself.
type ServerState struct {
	// Timeline is that of its WAL.
	Timeline int32 `json:"timeline"`
	// ClockOffset is its clock minus ours, as if the answer had been given in the middle of the round trip.
	ClockOffset time.Duration `json:"-"`
	// At is when it was read, by our clock.
	At time.Time `json:"at"`
}

// SlotState is what the catalog says of the slot, all sizes in bytes of WAL.
type SlotState struct {
	// Active says whether some consumer is connected to the slot.
	Active bool `json:"active"`
	// WALStatus is "reserved", "extended", "unreserved" or "lost".
	WALStatus string `json:"wal_status"`
	// RetainedWAL is what the server keeps for the slot; ConfirmedLag how far the flush position is behind.
	RetainedWAL  int64 `json:"retained_wal_bytes"`
	ConfirmedLag int64 `json:"confirmed_lag_bytes"`
	// SafeWAL is how much more can be written before the slot may be lost; nil where max_slot_wal_keep_size is unlimited.
	SafeWAL *int64 `json:"safe_wal_bytes"`
	// InactiveSince is when the last consumer left; nil while there is one, and before PostgreSQL 17.
	InactiveSince *time.Time `json:"inactive_since,omitempty"`
	// Failover says whether the slot is to be synchronised to standbys; nil before PostgreSQL 17.
	Failover *bool `json:"failover,omitempty"`
	// SpilledTransactions and SpilledBytes count what the server wrote to its disk while it decoded, since its statistics
	// were reset; 0 where they have nothing.
	SpilledTransactions int64 `json:"spilled_transactions,omitempty"`
	SpilledBytes        int64 `json:"spilled_bytes,omitempty"`
	// Position is where the server's WAL ended.
	Position decoder.LSN `json:"wal_lsn"`
	// At is when the catalog was read, by our clock.
	At time.Time `json:"at"`
}

// WALStatuses are all values of SlotState.WALStatus.
var WALStatuses = []string{"reserved", "extended", "unreserved", "lost"}

// TableState is what there is of the audit table.
type TableState struct {
	// Bytes is its size on disk, with partitions, indexes and out-of-line values.
	Bytes int64 `json:"bytes"`
	// Oldest is the event_timestamp of the row with the lowest primary key; nil where that cannot be told cheaply, or may not
	// be read.
	Oldest *time.Time `json:"oldest_row,omitempty"`
}

// StandbyState is what a standby says of its copy of the slot.
type StandbyState struct {
	// Name is the standby's host and port.
	Name string `json:"name"`
	// Ready says whether the slot would survive a failover to it: synced AND NOT temporary AND invalidation_reason IS NULL.
	Ready bool `json:"ready"`
	// Problem says why it is not ready; empty if it is.
	Problem string `json:"problem,omitempty"`
	// At is when it last answered, by our clock; zero if it has not yet.
	At time.Time `json:"at,omitzero"`
}
