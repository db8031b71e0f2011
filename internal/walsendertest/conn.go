package walsendertest

import (
	"encoding/binary"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

// conn is one connection to the Server.
type conn struct {
	server  *Server
	net     net.Conn
	backend *pgproto3.Backend
	done    chan struct{} // closed when serve ends

	sent decoder.LSN // the WAL was sent up to here; owned by stream's goroutine

	heard time.Time // when the client last said something; guarded by server.mu
	asked bool      // a reply was asked for and has not come; guarded by server.mu
	ping  bool      // the client asked for a keepalive; guarded by server.mu
}

// serve answers the client until it starts replication, and then streams.
func (c *conn) serve() {
	defer close(c.done)
	defer c.server.change(func() { delete(c.server.idle, c) })
	defer c.net.Close()
	startup, err := c.backend.ReceiveStartupMessage()
	if _, ok := startup.(*pgproto3.StartupMessage); err != nil || !ok {
		return
	}
	c.server.mu.Lock()
	stopping := c.server.stopping
	c.server.mu.Unlock()
	if stopping {
		c.backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "the database system is shutting down"})
		_ = c.backend.Flush() // the client may have left
		return
	}
	c.backend.Send(&pgproto3.AuthenticationOk{})
	c.backend.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "17.6"})
	c.backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	c.ready()
	for {
		message, err := c.backend.Receive()
		if err != nil {
			return
		}
		query, ok := message.(*pgproto3.Query)
		if !ok {
			return // Terminate
		}
		switch {
		case query.String == "IDENTIFY_SYSTEM":
			c.server.mu.Lock()
			position := c.server.position
			c.server.mu.Unlock()
			c.row([]string{"systemid", "timeline", "xlogpos", "dbname"}, "7700000000000000001", "1", position.String(), "shop")
		case strings.HasPrefix(query.String, "SELECT json_build_object"):
			c.row([]string{"json_build_object"}, c.server.catalog())
		case strings.HasPrefix(query.String, "SELECT to_jsonb(f)"):
			c.row([]string{"to_jsonb"}, c.server.facts())
		case strings.HasPrefix(query.String, "SET LOCAL"):
			c.row([]string{"to_jsonb"}, `{"bytes":8192,"key":null}`)
		case strings.HasPrefix(query.String, "START_REPLICATION"):
			start, err := startLSN(query.String)
			if err != nil {
				c.server.tb.Errorf("%q: %v", query.String, err)
				return
			}
			c.stream(start)
			return
		default:
			c.server.tb.Errorf("the script knows no answer to %q", query.String)
			return
		}
	}
}

func (c *conn) ready() {
	c.backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = c.backend.Flush() // a client that has left is noticed when it is read from
}

func (c *conn) row(names []string, values ...string) {
	var description pgproto3.RowDescription
	var row pgproto3.DataRow
	for i, name := range names {
		description.Fields = append(description.Fields, pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: 25})
		row.Values = append(row.Values, []byte(values[i]))
	}
	c.backend.Send(&description)
	c.backend.Send(&row)
	c.backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	c.ready()
}

// stream is the walsender's loop: it sends what is committed, a keepalive whenever it has caught up, and asks for a reply
// when the client has been silent for half of wal_sender_timeout or when it is to stop.
func (c *conn) stream(start decoder.LSN) {
	s := c.server
	c.backend.Send(&pgproto3.CopyBothResponse{})
	if c.backend.Flush() != nil {
		return
	}
	s.mu.Lock()
	c.sent = max(start, s.confirmed)
	c.heard = time.Now()
	s.conn = c
	delete(s.idle, c)
	s.dials++
	s.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c.listen()
	}()
	defer func() {
		_ = c.net.Close()
		<-gone
		s.change(func() { s.conn = nil })
	}()
	if c.send(xlogData(0, pgoutputtest.AuditRelation())) {
		c.loop(gone)
	}
}

func (c *conn) loop(gone <-chan struct{}) {
	s := c.server
	var told decoder.LSN
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.mu.Lock()
		changed, stalled, stopping, done := s.changed, s.stalled, s.stopping, s.confirmed >= s.position
		silence, asked, ping := time.Since(c.heard), c.asked, c.ping
		c.ping = false
		s.mu.Unlock()
		if silence >= SenderTimeout && !stalled {
			s.tb.Errorf("wal_sender_timeout: the client was silent for %s", silence)
			return
		}
		if !stalled {
			if !c.catchUp() {
				return
			}
			switch {
			case stopping && done:
				c.send(nil)
				return
			case !asked && (stopping || silence >= SenderTimeout/2):
				s.mu.Lock()
				c.asked = true // before it is sent: the answer may be quick
				s.mu.Unlock()
				c.send(keepalive(c.sent, true))
			case c.sent > told, ping:
				told = c.sent
				c.send(keepalive(c.sent, false))
			}
		}
		timer.Reset(SenderTimeout / 2)
		select {
		case <-gone:
			return
		case <-changed:
		case <-timer.C:
		}
	}
}

// catchUp sends every transaction that was not sent yet. Like the real one it hears the client while it is blocked.
func (c *conn) catchUp() bool {
	for {
		s := c.server
		s.mu.Lock()
		var next *Transaction
		for i := range s.wal {
			// A transaction is sent if its commit record begins at or after the position: the check of snapbuild.c.
			if s.wal[i].Commit >= c.sent {
				next = &s.wal[i]
				break
			}
		}
		if next == nil {
			c.sent = max(c.sent, s.position)
		}
		s.mu.Unlock()
		if next == nil {
			return true
		}
		messages := next.messages()
		// Any application may write messages. One that is not transactional comes between two transactions, from wherever.
		if !c.send(xlogData(next.Commit+0x1000, pgoutputtest.Message(false, next.Commit+0x1000, decoder.RetentionPrefix, "anybody's"))) {
			return false
		}
		for i, m := range messages {
			if !c.send(xlogData(next.Commit, m)) {
				return false
			}
			// A keepalive may come in the midst of a transaction, and nothing promises that its position is before the
			// transaction's own.
			if i == len(messages)/2 && !c.send(keepalive(next.End, false)) {
				return false
			}
		}
		c.sent = next.End
	}
}

// send sends one CopyData message, or CopyDone for nil.
func (c *conn) send(data []byte) bool {
	if data == nil {
		c.backend.Send(&pgproto3.CopyDone{})
	} else {
		c.backend.Send(&pgproto3.CopyData{Data: data})
	}
	if c.backend.Flush() != nil {
		return false
	}
	c.server.mu.Lock()
	c.server.sent += len(data)
	c.server.mu.Unlock()
	return true
}

// listen takes the client's status updates until the connection ends.
func (c *conn) listen() {
	for {
		message, err := c.backend.Receive()
		if err != nil {
			return
		}
		m, ok := message.(*pgproto3.CopyData)
		if !ok {
			_ = c.net.Close() // CopyDone or Terminate
			return
		}
		s := c.server
		s.mu.Lock()
		stalled, silence := s.stalled, time.Since(c.heard)
		c.heard, c.asked = time.Now(), false
		c.ping = c.ping || m.Data[len(m.Data)-1] == 1
		s.mu.Unlock()
		if stalled {
			continue
		}
		if silence > SenderTimeout {
			s.tb.Errorf("wal_sender_timeout: the client was silent for %s", silence)
		}
		const flushAt = 1 + 8 // after the type and the write position
		s.flush(decoder.LSN(binary.BigEndian.Uint64(m.Data[flushAt:])))
	}
}
