// Package decoder turns the messages of PostgreSQL's pgoutput plugin (protocol version 1) into audit events. It is pure:
// no I/O, no clock, no logging, no goroutine. Every length in a message is checked before it is used, so that no input
// makes it panic, and none makes it allocate more than a small multiple of the message's own size.
//
// A Decoder is fed the messages of one replication session in order; it appends the events to a Batch, each already
// rendered as one line of JSON (the native format, see Event). Whoever needs parts of an event takes them from the line.
package decoder
