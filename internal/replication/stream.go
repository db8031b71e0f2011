package replication

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/retry"
)

// Stream follows one slot. Run owns the connection; Next, Confirm, Origin and ServerStopping are for other goroutines.
type Stream struct {
	cfg     Config
	log     *slog.Logger
	handoff *handoff

	// confirmed is the flush position to tell the server: only Confirm raises it.
	confirmed atomic.Uint64
	// stoppingSince is when the server was found to be shutting down, in Unix nanoseconds; 0 if it is not.
	stoppingSince atomic.Int64
	// endangered says that the server is about to invalidate the slot, or wants to.
	endangered atomic.Bool
	// publication is the identity of what is followed, for Origin.Publication; nil before the first stream. The Monitor and
	// Run replace it when another table takes the audit table's place.
	publication atomic.Pointer[string]
	// met are tables that had the audit table's name in the stream, and may have taken it and lost it again between two
	// looks at the catalog. Only Run adds to it.
	met atomic.Pointer[[]member]
	// wake is a token: the session should look at the two above. link is the one it may be reading from.
	wake chan struct{}
	link atomic.Pointer[link]

	originOnce sync.Once
	originSet  chan struct{} // closed once mark is set
	mark       Mark          // the first connection's; this and the next two are written before originSet is closed
	history    []Branch
	tookOver   bool
	over       chan struct{} // closed when Run returns

	// The rest is owned by Run.
	outage    *retry.Outage
	previous  *Mark            // what an earlier run left
	seen      *Mark            // what a peer was seen to follow, while this process stood by; its Confirmed is a lower bound
	connected bool             // this Stream has streamed
	worked    bool             // this process has streamed, or stood by
	stoodBy   bool             // since the last stream
	walsender uint32           // the server's process of the last session
	handed    decoder.Position // of the last event in a pending batch: what a new connection sends again up to here is dropped
	marked    decoder.LSN      // the last position that was let ride in a batch
	patience  time.Duration    // how long the server may be silent
	ended     bool             // EndPos was reached: nothing further is received
}

// NewStream returns a Stream that has not connected yet.
func NewStream(cfg Config) *Stream {
	cfg.setDefaults()
	s := &Stream{
		cfg: cfg, log: cfg.Logger, handoff: newHandoff(cfg.BufferBytes / 2),
		wake: make(chan struct{}, 1), originSet: make(chan struct{}), over: make(chan struct{}),
		patience: cfg.ReceiveTimeout, worked: cfg.Resumed, outage: retry.NewOutage(cfg.Logger),
	}
	return s
}

// Run connects, streams, and connects again after whatever may heal, until ctx is done or a person is needed. While another
// consumer has the slot, it stands by. When ctx is done it tells the server the last confirmed position, closes the connection
// and returns nil. Its error is an ErrConfig, an ErrSetup, an ErrEvidence or an ErrStale; with the last, what was received
// and not taken yet is dropped.
func (s *Stream) Run(ctx context.Context) error {
	defer close(s.over)
	backoff := retry.New()
	for {
		before := time.Now()
		streamed, err := s.session(ctx)
		if ctx.Err() != nil {
			s.handoff.finish(context.Cause(ctx))
			return nil
		}
		if err = s.classify(err); fatal(err) {
			if errors.Is(err, ErrStale) {
				s.handoff.abandon(err)
			}
			s.handoff.finish(err)
			return err
		}
		if streamed && time.Since(before) > retry.Max {
			backoff.Succeeded()
		}
		why := reason(err)
		s.cfg.Observer.Reconnect(why)
		if !errors.Is(err, errBusy) {
			s.outage.Failed(slog.LevelWarn, why, "no stream; trying again until it works", "reason", why, "error", err)
		} else {
			s.outage.Failed(slog.LevelInfo, why, "standing by: another consumer streams from the slot; taking over when it ends",
				"reason", why, "slot", s.cfg.Slot)
			s.worked, s.stoodBy = true, true
			// An error comes again at the next attempt, if it lasts, and is told then.
			if err := s.standBy(ctx); err == nil && ctx.Err() == nil {
				continue
			}
		}
		if err := backoff.Wait(ctx); err != nil {
			s.handoff.finish(err)
			return nil
		}
	}
}

// Next waits for events or a position to confirm, and returns all that piled up. The batch is valid until the following
// Next. After the last batch it returns io.EOF where EndPos was reached, or why the stream ended; it returns ctx's cause
// once ctx is done.
func (s *Stream) Next(ctx context.Context) (*Batch, error) {
	for {
		if batch, err := s.handoff.take(); batch != nil || err != nil {
			return batch, err
		}
		select {
		case <-s.handoff.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Confirm makes end, a Batch's End, the flush position: the server may forget everything before it and will never send it
// again. Call it only when every event up to there is durable in every sink. It does not wait for the server.
func (s *Stream) Confirm(end decoder.LSN) {
	for {
		old := s.confirmed.Load()
		if uint64(end) <= old {
			return
		}
		if s.confirmed.CompareAndSwap(old, uint64(end)) {
			break
		}
	}
	s.interrupt()
}

// Confirmed is the flush position, as far as it is known here.
func (s *Stream) Confirmed() decoder.LSN { return decoder.LSN(s.confirmed.Load()) }

// Buffered is the memory of the events that were received and are not durable yet, in bytes, and what bounds it but for a
// single row that is larger by itself. It may be called at any time by any goroutine.
func (s *Stream) Buffered() (size, limit int) { return s.handoff.size(), s.cfg.BufferBytes }

// Origin waits for the first connection and returns what it is connected to, with the position the slot had then. It
// returns why the stream ended if that comes first.
func (s *Stream) Origin(ctx context.Context) (Mark, error) {
	select {
	case <-s.originSet:
		return s.mark, nil
	case <-s.over:
		return Mark{}, s.handoff.why()
	case <-ctx.Done():
		return Mark{}, context.Cause(ctx)
	}
}

// History says where the server's timelines before Origin's were left, oldest first. It may be called once Origin has returned.
func (s *Stream) History() []Branch { return s.history }

// TookOver says whether this process had streamed or stood by before Origin was known, so that what is wrong now may have
// been right at its start. It may be called once Origin has returned.
func (s *Stream) TookOver() bool { return s.tookOver }

// ServerStopping says that the server is shutting down and waits for us. A stream that cannot make progress within a
// moment then closes its connection, so that the shutdown is not held up by a stuck sink; nothing is lost by that.
func (s *Stream) ServerStopping() {
	s.stoppingSince.CompareAndSwap(0, time.Now().UnixNano())
	s.interrupt()
}

// interrupt makes the session look around, whether it is reading or waiting for room.
func (s *Stream) interrupt() {
	signal(s.wake)
	if l := s.link.Load(); l != nil {
		l.interrupt()
	}
}

func (s *Stream) used() bool { return s.followed() != nil }

func (s *Stream) lastConfirmed() string {
	if c := s.Confirmed(); c != 0 {
		return c.String()
	}
	return "the slot's creation"
}

// session connects and streams until something ends it. streamed says whether it came to streaming.
func (s *Stream) session(ctx context.Context) (streamed bool, err error) {
	sess, err := s.connect(ctx)
	if err != nil {
		return false, err
	}
	s.cfg.Observer.Streaming(true)
	defer s.cfg.Observer.Streaming(false)
	about := []any{"slot", s.cfg.Slot, "from", sess.flushed, "took_over", s.stoodBy}
	if !s.outage.Over("streaming", about...) && !s.connected {
		s.log.Info("streaming", about...)
	}
	s.connected, s.worked, s.stoodBy = true, true, false
	s.walsender = sess.conn.PID()
	s.link.Store(sess.link)
	defer s.link.Store(nil)
	stop := context.AfterFunc(ctx, s.interrupt)
	defer stop()
	err = sess.run(ctx)
	s.handoff.release() // nothing more comes for a while
	sess.close()
	return true, err
}

// endAt notes that EndPos was reached: Next ends once what is pending has been taken.
func (s *Stream) endAt() {
	s.ended = true
	s.handoff.finish(io.EOF)
}
