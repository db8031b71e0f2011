package replication

import (
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// linkBuffer is what is read from the socket at a time. The server sends each message by itself; a call for each of
	// them is what receiving costs.
	linkBuffer = 64 << 10
	// lowWater is how much shall have arrived before a reader that works off a backlog is woken, and lingering how long
	// it waits for that. So much delay belongs only where it does not matter.
	lowWater  = 32 << 10
	lingering = time.Millisecond
	// backlogBytes a millisecond, measured over one to ten of them, mean that a backlog is being read. poorReads in a row
	// that brought less than poorBytes mean that it is over; a single one means that the server was off its CPU.
	backlogBytes = 4 << 10
	poorBytes    = 1 << 10
	poorReads    = 10
	// backlogHold is how long decoded events wait for more while a backlog is read: a sink's fsync for every few rows would
	// take the CPU time that waking up less has saved.
	backlogHold = 5 * time.Millisecond
	// writeTimeout bounds the sending of a status update, which is small: a socket that has no room for it is dead.
	writeTimeout = 30 * time.Second
)

// link is the connection below TLS. While streaming it buffers what it reads, and while a backlog is read it waits for
// enough to be worth waking up (SO_RCVLOWAT), which takes a third of the CPU time.
//
// Its fields belong to the session's goroutine, except interrupted.
type link struct {
	net.Conn
	// streaming turns on all that follows; before, the link is the bare connection.
	streaming bool
	// deadline is when Read gives up with os.ErrDeadlineExceeded. What was read of a message until then is kept.
	deadline time.Time
	// fills counts successful reads from the socket, and filledAt is when the last was.
	fills    int
	filledAt time.Time

	interrupted atomic.Bool

	buf         [linkBuffer]byte
	r, w        int
	waiter      lowWaterReader
	backlog     bool
	poor        int // reads in a row that brought little
	windowStart time.Time
	windowBytes int

	// drained is called when all that was read has been decoded, before more is waited for.
	drained   func()
	drainedAt time.Time
}

func newLink(conn net.Conn) *link {
	return &link{Conn: conn, waiter: newLowWaterReader(conn), drained: func() {}}
}

// interrupt makes a Read in progress, or else the next one, give up at once. It may be called by any goroutine.
func (l *link) interrupt() {
	l.interrupted.Store(true)
	// A Read that has set its own deadline before this call is woken by it; one that sets it later looks at the flag
	// after that. An error here is that of a closed connection, which Read will meet too.
	_ = l.Conn.SetReadDeadline(time.Unix(1, 0))
}

// Read implements net.Conn.
func (l *link) Read(p []byte) (int, error) {
	if !l.streaming {
		return l.Conn.Read(p)
	}
	if l.r == l.w {
		if err := l.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.buf[l.r:l.w])
	l.r += n
	return n, nil
}

// Write implements net.Conn.
func (l *link) Write(p []byte) (int, error) {
	if l.streaming {
		if err := l.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return 0, err
		}
	}
	return l.Conn.Write(p)
}

// fill reads into the empty buffer: at least one byte, or an error.
func (l *link) fill() error {
	if !l.backlog || l.filledAt.Sub(l.drainedAt) >= backlogHold {
		l.drained()
		l.drainedAt = l.filledAt
	}
	n, err := l.linger()
	if err != nil {
		return err
	}
	if n == 0 {
		if err := l.Conn.SetReadDeadline(l.deadline); err != nil {
			return err
		}
		if l.interrupted.Swap(false) {
			return os.ErrDeadlineExceeded
		}
		if n, err = l.Conn.Read(l.buf[:]); n == 0 {
			l.interrupted.Store(false)
			return err
		}
	}
	l.r, l.w = 0, n
	l.fills++
	l.filledAt = time.Now()
	l.measure(n)
	return nil
}

// linger reads as is worth it while a backlog is read. It returns 0 when there is none, or none any more.
func (l *link) linger() (n int, err error) {
	for l.backlog {
		if err := l.Conn.SetReadDeadline(time.Now().Add(lingering)); err != nil {
			return 0, err
		}
		if l.interrupted.Swap(false) {
			return 0, os.ErrDeadlineExceeded
		}
		if n, err = l.waiter.read(l.buf[:]); err != nil {
			return 0, err
		}
		if n >= poorBytes {
			l.poor = 0
		} else if l.poor++; l.poor == poorReads {
			l.backlog, l.poor = false, 0
			l.waiter.setLowWater(1)
			l.drained()
		}
		if n > 0 {
			break
		}
	}
	return n, nil
}

// measure finds out from the rate at which bytes come whether a backlog is being read.
func (l *link) measure(n int) {
	if l.backlog || l.waiter == nil {
		return
	}
	l.windowBytes += n
	elapsed := l.filledAt.Sub(l.windowStart)
	if elapsed < lingering {
		return
	}
	if elapsed < 10*lingering && int64(l.windowBytes)*int64(lingering) >= backlogBytes*int64(elapsed) {
		l.backlog = true
		l.waiter.setLowWater(lowWater)
	}
	l.windowStart, l.windowBytes = l.filledAt, 0
}

// lowWaterReader reads what has arrived once that is enough, or once the read deadline has passed; then it may be nothing.
type lowWaterReader interface {
	setLowWater(bytes int)
	read(p []byte) (int, error)
}
