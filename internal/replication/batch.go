package replication

import (
	"sync"

	"pgwitness/decoder"
)

// Batch is what piled up while the consumer was busy: a run of events in commit order.
type Batch struct {
	decoder.Batch
	// End is the position to confirm once all events of this batch, and of every batch before it, are durable: the end
	// of the last transaction that is complete with them. 0 where the batch completes none, as in the midst of a large
	// transaction. A batch may have an End and no events.
	End decoder.LSN
	// due says that the batch is worth handing out.
	due bool
}

func (b *Batch) reset() {
	b.Batch.Reset()
	b.End, b.due = 0, false
}

// dueBytes is how much is worth a write of its own, whether a transaction is complete with it or not.
const dueBytes = 256 << 10

// handoff is where the two goroutines meet: the pending batch, which the Stream's goroutine fills, and the taken one,
// which belongs to the consumer until it comes for the next.
type handoff struct {
	mu             sync.Mutex
	pending, taken *Batch // guarded by mu; what taken points to is the consumer's
	end            error  // why no more will come; guarded by mu
	limit          int    // of a batch, in bytes

	ready chan struct{} // a token: there may be something to take
	room  chan struct{} // a token: the pending batch was taken
}

func newHandoff(limit int) *handoff {
	return &handoff{
		pending: new(Batch), taken: new(Batch), limit: limit,
		ready: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

func signal(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

// decode decodes message into the pending batch, or only counts its events if they were handed over on an earlier
// connection.
func (h *handoff) decode(d *decoder.Decoder, message []byte, again bool) (decoder.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if again {
		return d.Decode(message, nil)
	}
	result, err := d.Decode(message, &h.pending.Batch)
	if err == nil && !h.pending.due && h.pending.Size() >= min(dueBytes, h.limit) {
		h.pending.due = true
		signal(h.ready)
	}
	return result, err
}

// mark lets end ride behind everything received so far.
func (h *handoff) mark(end decoder.LSN) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending.End = max(h.pending.End, end)
}

// release lets the pending batch be taken if it completes anything. What it holds of an unfinished transaction only could
// not be confirmed anyhow, and waits for dueBytes or its commit.
func (h *handoff) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending.End != 0 && !h.pending.due {
		h.pending.due = true
		signal(h.ready)
	}
}

// full says whether the pending batch has reached its bound.
func (h *handoff) full() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pending.Size() >= h.limit
}

// size is the memory that the events of both batches take, in bytes. That of the taken one does not change while it is taken.
func (h *handoff) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pending.Size() + h.taken.Size()
}

// finish says why no more will come. Only the first reason counts.
func (h *handoff) finish(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == nil {
		h.end = err
	}
	h.pending.due = h.pending.due || h.pending.End != 0
	signal(h.ready)
}

// abandon drops what is pending, and says why no more will come.
func (h *handoff) abandon(err error) {
	h.mu.Lock()
	h.pending.reset()
	h.mu.Unlock()
	h.finish(err)
}

// why is the reason that finish was given.
func (h *handoff) why() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end
}

// take hands out the pending batch and takes back the one before it, or returns why there will be none, or nothing.
func (h *handoff) take() (*Batch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken.reset()
	if !h.pending.due {
		return nil, h.end
	}
	h.pending, h.taken = h.taken, h.pending
	signal(h.room)
	return h.taken, nil
}
