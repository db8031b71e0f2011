package decoder

import "reflect"

const (
	// chunkSize is what a Batch allocates at a time. Growing one large buffer instead would leave every outgrown copy to
	// the garbage collector, which then lets the process grow to twice the bound.
	chunkSize = 256 << 10
	// chunkRoom is the room below which a chunk counts as full: most lines fit, so few are copied when they outgrow it.
	chunkRoom = 4 << 10
)

// eventSize is what an Event costs beside its line.
var eventSize = int(reflect.TypeFor[Event]().Size())

// Batch is a run of events and the memory their lines are rendered into, kept across Reset. The zero Batch is empty and
// ready. A Batch is not safe for concurrent use.
type Batch struct {
	// Events are in commit order, and within a transaction in the order of the changes.
	Events []Event

	chunks [][]byte // of length 0..chunkSize, all of capacity chunkSize
	used   int      // chunks[used] is the one being filled; those after it are empty
	size   int
}

// Size is the memory that the events take, in bytes: their lines and their records.
func (b *Batch) Size() int { return b.size }

// Reset empties the batch and keeps its memory. Events taken from it before must not be used any more.
func (b *Batch) Reset() {
	clear(b.Events) // a line larger than a chunk is referred to by its event alone; let it go
	b.Events = b.Events[:0]
	for i := range b.chunks[:min(b.used+1, len(b.chunks))] {
		b.chunks[i] = b.chunks[i][:0]
	}
	b.used, b.size = 0, 0
}

// tail is an empty slice to append a line of about need bytes to.
func (b *Batch) tail(need int) []byte {
	if need > chunkSize-chunkRoom {
		// Grown by append, a line of 100 MB would be copied time and again, and need more than twice its size.
		return make([]byte, 0, need)
	}
	if b.used < len(b.chunks) && chunkSize-len(b.chunks[b.used]) < max(need, chunkRoom) {
		b.used++
	}
	if b.used == len(b.chunks) {
		b.chunks = append(b.chunks, make([]byte, 0, chunkSize))
	}
	chunk := b.chunks[b.used]
	return chunk[len(chunk):]
}

// add takes over e and its line, which was appended to the slice that tail gave. A line that does not lie in the chunk
// (append moved it, or it never did) has memory of its own, and the chunk stays as it is.
func (b *Batch) add(e Event) {
	if b.used < len(b.chunks) {
		chunk := b.chunks[b.used]
		switch free := chunk[len(chunk):chunkSize]; {
		case len(e.line) <= len(free):
			if &free[0] == &e.line[0] {
				b.chunks[b.used] = chunk[:len(chunk)+len(e.line)]
			}
		case len(e.line) <= chunkSize:
			b.used++ // or each line after this one may outgrow what is left here, and be copied too
		}
	}
	b.size += len(e.line) + eventSize
	b.Events = append(b.Events, e)
}
