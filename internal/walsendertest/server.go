// Package walsendertest is a scripted server for the simulation: it speaks enough of PostgreSQL's protocol for a
// replication.Stream to connect, and then behaves as a walsender does, over net.Pipe and under testing/synctest's clock.
// It is a fake, and stands in only for what a real server cannot be made to do on cue: an exact interleaving. Each of its
// behaviours was seen on real servers first.
package walsendertest

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

// SenderTimeout is the server's wal_sender_timeout: the test fails when a client that streams is silent for longer.
const SenderTimeout = 60 * time.Second

// Transaction is a committed transaction of the audit table in the server's WAL.
type Transaction struct {
	Commit, End decoder.LSN
	FirstID     int
	Rows        int
	// Garbage makes the last row one that cannot be decoded.
	Garbage bool
}

// Server is one cluster with one slot. Its methods may be called from any goroutine.
type Server struct {
	tb testing.TB

	mu        sync.Mutex
	wal       []Transaction
	position  decoder.LSN // where the WAL ends
	confirmed decoder.LSN // the slot's
	acked     []decoder.LSN
	nextID    int
	conn      *conn          // the one that streams
	idle      map[*conn]bool // those that do not
	refuse    bool           // connections are refused
	stopping  bool           // new connections are turned away in words
	stalled   bool           // sends nothing, hears nothing: a black hole
	dials     int
	sent      int // bytes of messages handed to clients
	// onFlush is called with each flush position, before the slot takes it over.
	onFlush func(decoder.LSN)
	changed chan struct{} // closed and replaced whenever something changed
}

// Start is where the WAL and the slot of a new Server begin.
const Start decoder.LSN = 0x1000000

// New returns a server; onFlush is called with each flush position that a client reports.
func New(tb testing.TB, onFlush func(decoder.LSN)) *Server {
	return &Server{
		tb: tb, position: Start, confirmed: Start, nextID: 1, onFlush: onFlush,
		idle: make(map[*conn]bool), changed: make(chan struct{}),
	}
}

// ConnConfig is a replication.Config's ConnConfig that leads to this server.
func (s *Server) ConnConfig() (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig("host=simulated user=witness database=shop sslmode=disable")
	if err != nil {
		return nil, err
	}
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"simulated"}, nil }
	cfg.DialFunc = s.dial
	return cfg, nil
}

func (s *Server) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	}
	client, server := net.Pipe()
	c := &conn{server: s, net: server, backend: pgproto3.NewBackend(server, server), done: make(chan struct{})}
	s.idle[c] = true
	go c.serve()
	return client, nil
}

// change changes the server's state under its lock and wakes whoever waits for that.
func (s *Server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Commit adds a transaction of that many rows to the WAL. Its commit record begins exactly where the WAL ended, which real
// servers do too.
func (s *Server) Commit(rows int) Transaction { return s.commit(rows, false) }

// CommitGarbage adds a transaction whose last row cannot be decoded.
func (s *Server) CommitGarbage(rows int) Transaction { return s.commit(rows, true) }

func (s *Server) commit(rows int, garbage bool) (tx Transaction) {
	s.change(func() {
		tx = Transaction{Commit: s.position, End: s.position + 0x30, FirstID: s.nextID, Rows: rows, Garbage: garbage}
		s.wal = append(s.wal, tx)
		s.position = tx.End
		s.nextID += rows
	})
	return tx
}

// OtherTraffic moves the WAL's end by bytes that are not for the slot.
func (s *Server) OtherTraffic(bytes int) { s.change(func() { s.position += decoder.LSN(bytes) }) }

// Disconnect ends the connection, as a network does, without a word.
func (s *Server) Disconnect() {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		_ = c.net.Close()
		<-c.done
	}
}

// Refuse makes further connections fail, or not.
func (s *Server) Refuse(refuse bool) { s.change(func() { s.refuse = refuse }) }

// Stall makes the connection a black hole, or not.
func (s *Server) Stall(stalled bool) { s.change(func() { s.stalled = stalled }) }

// Shutdown is a fast shutdown: the walsender sends what is left and then waits for the client to confirm all of it,
// asking again and again. It returns when the walsender has ended.
func (s *Server) Shutdown() {
	var c *conn
	s.change(func() {
		c = s.conn
		s.stopping = true
		for other := range s.idle {
			_ = other.net.Close() // ordinary backends are terminated first
		}
	})
	if c != nil {
		<-c.done
	}
}

// Restart makes a server that was shut down accept connections again. The slot's position is what a clean restart leaves:
// the one confirmed last, or an earlier one that was.
func (s *Server) Restart(forget bool) {
	s.change(func() {
		s.stopping = false
		if forget && len(s.acked) > 1 {
			s.confirmed = s.acked[len(s.acked)/2]
		}
	})
}

// Confirmed is the slot's position.
func (s *Server) Confirmed() decoder.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirmed
}

// Dials is how often a client has begun to stream.
func (s *Server) Dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

// Sent is how many bytes of messages the clients have taken.
func (s *Server) Sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// flush takes over a client's flush position, as the real server does: whatever it is, the future included.
func (s *Server) flush(lsn decoder.LSN) {
	s.onFlush(lsn)
	s.change(func() {
		if lsn > s.position {
			s.tb.Errorf("the client confirmed %s, and the WAL ends at %s", lsn, s.position)
		}
		if lsn > s.confirmed {
			s.confirmed = lsn
			s.acked = append(s.acked, lsn)
		}
	})
}

// messages are the pgoutput messages of a transaction.
func (tx Transaction) messages() [][]byte {
	m := pgoutputtest.Transaction(tx.Commit, uint32(tx.FirstID), tx.FirstID, tx.Rows)
	// pgoutputtest lets a commit record end 0x30 later, as commit does.
	if tx.Garbage {
		m[len(m)-2] = pgoutputtest.Insert(pgoutputtest.RelationOID, "too", "few")
	}
	return m
}

// xlogData is an XLogData message. Its WAL positions are the change's own, and say nothing of the transaction's.
func xlogData(at decoder.LSN, message []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'w'}, uint64(at))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	return append(binary.BigEndian.AppendUint64(b, 0), message...)
}

// keepalive is a primary keepalive message.
func keepalive(end decoder.LSN, reply bool) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'k'}, uint64(end))
	b = binary.BigEndian.AppendUint64(b, 0)
	if reply {
		return append(b, 1)
	}
	return append(b, 0)
}

// facts is the answer to what a Monitor measures at each look.
func (s *Server) facts() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf(`{"clock":%d,"timeline":1,"wal_position":"%s","spilled":null,
 "slot":{"active":true,"restart_lsn":"%s","confirmed_flush_lsn":"%s","wal_status":"reserved","safe_wal_size":null}}`,
		time.Now().Unix(), s.position, s.confirmed, s.confirmed)
}

// catalog is the answer to the one query a Stream asks the catalog.
func (s *Server) catalog() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf(`{"version":170006,"wal_level":"logical","standby":false,"database":"shop","sender_timeout":%d,
 "wal_position":"%s","table":{"oid":%d,"kind":"r","persistence":"p","children":false,"key":["id"]},
 "slot":{"plugin":"pgoutput","slot_type":"logical","database":"shop","temporary":false,"active":false,"restart_lsn":"%s",
 "confirmed_flush_lsn":"%s","wal_status":"reserved","safe_wal_size":null,"two_phase":false},
 "publication":{"oid":1,"insert":true,"viaroot":true,"published":true,"member":{"oid":"2","prqual":null,"prattrs":null}}}`,
		SenderTimeout.Milliseconds(), s.position, pgoutputtest.RelationOID, s.confirmed, s.confirmed)
}

// startLSN reads the position out of a START_REPLICATION command.
func startLSN(command string) (decoder.LSN, error) {
	_, rest, _ := strings.Cut(command, "LOGICAL ")
	text, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return decoder.ParseLSN(text)
}

// Advance moves the slot, as pg_replication_slot_advance or another consumer does.
func (s *Server) Advance(to decoder.LSN) { s.change(func() { s.confirmed = to }) }
