package replication

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
)

// Config says what to follow and how.
type Config struct {
	// ConnConfig returns the connection's configuration. It is called at each dial, so that rotated credentials are
	// used as soon as they are there.
	ConnConfig func() (*pgconn.Config, error)
	// Slot and Publication are the names of what `pgwitness init` made.
	Slot, Publication string
	// Schema and Table name the audit table.
	Schema, Table string
	// Source is the "source" of every event. Defaults to the database's name.
	Source string
	// Previous returns the mark that an earlier run left, nil if there was none. It is what gives away a slot that was
	// dropped, re-created or advanced by somebody else. It is called at each attempt until the first stream: the process
	// that still has the slot may be going on with it. Defaults to none.
	Previous func() (*Mark, error)
	// Resumed says that this process has had a Stream before, which ended with ErrStale: what the server refuses may be a
	// rotation of credentials or a failover in progress, and is tried again. Defaults to false.
	Resumed bool
	// Standbys returns how to connect to each of the physical standbys whose copy of the slot a Monitor watches. It is called
	// at each dial. Defaults to none.
	Standbys func() ([]*pgconn.Config, error)
	// EndPos ends the stream at this position, inclusive. Defaults to 0: never.
	EndPos decoder.LSN
	// BufferBytes bounds the memory of events that were received and are not yet durable; one half is being filled
	// while the other is being written. A row larger than its half is let through alone. Defaults to 16 MiB.
	BufferBytes int
	// StatusInterval is the longest time between two standby status updates. Defaults to 10 s, and is never more than a
	// third of the server's wal_sender_timeout.
	StatusInterval time.Duration
	// ReceiveTimeout is how long the server may stay silent, though it was asked for a keepalive, before the link counts
	// as dead. Defaults to 60 s.
	ReceiveTimeout time.Duration
	// Observer is told what happens. Defaults to nobody.
	Observer Observer
	// Logger gets one line for each change of state. Defaults to slog.Default().
	Logger *slog.Logger
}

// Observer is told what a Stream does, by its goroutine. Its methods must not block.
type Observer interface {
	// Streaming says that the stream began (true) or ended (false) on a connection.
	Streaming(bool)
	// Reconnect says that a connection could not be made or was lost, and why, in one of a small set of words.
	Reconnect(reason string)
	// Standby says, again and again, that another consumer streams from the slot and that this process waits for its end.
	// It began with a Reconnect for ReasonSlotBusy.
	Standby()
	// Received says up to which position the server has sent.
	Received(decoder.LSN)
	// Flushed says which flush position the server was told.
	Flushed(decoder.LSN)
	// DecodeError says that a message could not be decoded.
	DecodeError()
}

func (c *Config) setDefaults() {
	if c.BufferBytes <= 0 {
		c.BufferBytes = 16 << 20
	}
	if c.StatusInterval <= 0 {
		c.StatusInterval = 10 * time.Second
	}
	if c.ReceiveTimeout <= 0 {
		c.ReceiveTimeout = 60 * time.Second
	}
	if c.Previous == nil {
		c.Previous = func() (*Mark, error) { return nil, nil }
	}
	if c.Standbys == nil {
		c.Standbys = func() ([]*pgconn.Config, error) { return nil, nil }
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

type nobody struct{}

func (nobody) Streaming(bool)       {}
func (nobody) Reconnect(string)     {}
func (nobody) Standby()             {}
func (nobody) Received(decoder.LSN) {}
func (nobody) Flushed(decoder.LSN)  {}
func (nobody) DecodeError()         {}

// Origin identifies what a stream follows. LSNs of different origins do not compare.
type Origin struct {
	SystemID string `json:"system_id"`
	Timeline int32  `json:"timeline"`
	Database string `json:"database"`
	Slot     string `json:"slot"`
	// Publication identifies the publication and the audit table's membership in it, so that one that was dropped and
	// made again, between which rows passed unseen, can be told. After it come the memberships of tables that were the
	// audit table before.
	Publication string `json:"publication"`
}

// Mark is what must be remembered between runs: whose position it is, and up to where the slot was confirmed.
type Mark struct {
	Origin
	Confirmed decoder.LSN `json:"confirmed_lsn"`
	// Delivered is the commit LSN of the last event that every sink has; before the first, a position below any event's.
	// After a failover it decides whether the new server has all that was delivered: what was confirmed lies further on, by
	// WAL that had nothing to deliver. 0 where it is not known, as in what earlier releases wrote.
	Delivered decoder.LSN `json:"delivered_lsn,omitzero"`
}

// Before says whether m is an earlier state of the same stream than other.
func (m Mark) Before(other Mark) bool {
	if m.SystemID != other.SystemID || m.Database != other.Database || m.Slot != other.Slot {
		return false
	}
	return m.Timeline < other.Timeline || m.Timeline == other.Timeline && m.Confirmed < other.Confirmed
}

// closeTimeout bounds the goodbye on a connection that may be dead.
const closeTimeout = 2 * time.Second

// connectTimeout bounds dialling, authentication and the checks.
const connectTimeout = 30 * time.Second

// hostTimeout bounds the attempt at one host of several, where the DSN has no connect_timeout.
const hostTimeout = 5 * time.Second

func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, connectTimeout)
}
