package metrics

import (
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/replication"
)

// Snapshot is the state at one moment. What it points to is shared: read only.
type Snapshot struct {
	// Since is when the counting began.
	Since time.Time
	// Streaming says whether the stream is connected and streams; StreamingSince since when, zero if it does not.
	Streaming      bool
	StreamingSince time.Time
	// Answering says whether the catalog can be read, which takes a connection of its own.
	Answering bool
	// Reconnect is why the last connection was lost or could not be made, one of replication.Reasons; empty if none was.
	Reconnect string
	// ExitCode is that of a run that has ended while the process lingers; 0 before.
	ExitCode int
	// Received is up to where the server has sent, Confirmed the flush position it was told; 0 before the first of each.
	Received, Confirmed decoder.LSN
	// Server, Slot and Table are what the catalog last said; nil before it was read, and Table while it cannot be.
	Server *replication.ServerState
	Slot   *replication.SlotState
	Table  *replication.TableState
	// Standbys are those that are watched, in the order of their names.
	Standbys []replication.StandbyState
	// Transactions and the rest count what every sink has made durable, as the counters of these names do.
	Transactions, Events, TamperEvents, RetentionEvents, IncompleteEvents uint64
	// LastEvent is when the transaction of the newest of them committed, by the server's clock; zero before the first.
	LastEvent time.Time
}

// Connected says whether PostgreSQL answers, on one of the two connections.
func (s Snapshot) Connected() bool { return s.Streaming || s.Answering }

// Standby says whether the process waits for the slot, which another consumer has.
func (s Snapshot) Standby() bool {
	return !s.Streaming && s.ExitCode == 0 && s.Reconnect == replication.ReasonSlotBusy
}

// Snapshot returns the state now.
func (m *Metrics) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// update changes the state. A slice in it is replaced, never changed: snapshots share it.
func (m *Metrics) update(change func(*Snapshot)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.state)
}
