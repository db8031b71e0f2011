// Package replication follows one logical replication slot and hands out its audit events in batches.
//
// One goroutine, Stream.Run, owns the connection and the decoder. It fills the pending batch; the consumer takes it with
// Stream.Next, makes its events durable and says so with Stream.Confirm. Nothing else is shared.
//
// The rule of acknowledgement: every position that may be confirmed (the end LSN of a commit, the WAL end of a keepalive
// that came outside a transaction) rides in the batch behind all events received before it. So a position is confirmed
// only after everything before it, and there is no other way for one to become the flush position.
package replication
