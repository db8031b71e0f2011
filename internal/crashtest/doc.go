// Package crashtest is the crash campaign: the real binary follows a real server while both of them, and the network
// between them, fail in every way that can be brought about from outside, and it has to end with exactly the rows that
// were committed.
//
// A campaign is a row of rounds. In each, writers on several connections commit, roll back, prepare and copy at once,
// while the consumer is killed with SIGKILL, at random times and at the failpoints in its code; its connection is reset,
// black-holed, delayed and cut in the midst of a message; its walsender is terminated; the server is restarted, fast and
// immediately. What is checked:
//
//   - A second slot is read by a plain consumer that shares no code with the product. It gives the committed rows in commit
//     order, each with its position. The file's lines, over all rotated parts, must be those, one for one, at any time.
//   - The slot's confirmed position is polled: what commits before it must already stand in the file.
//   - When the writers have ended, the table must hold the same rows.
//   - Each connection numbers its rows: they must come in that order.
//
// In about every second round there are two replicas of the consumer, with the same directory and files, of which one stands
// by. A round of its own kills the primary and promotes a standby, which has the slot (17, 18) or has not (15): then the
// consumer has to end, and what it says of where the loss may begin must be true.
//
// Everything that is drawn by lot comes from one seed, which is printed first. CRASH_SEED repeats the same faults and the
// same statements, though not their timing to the microsecond.
//
//	CRASH_DURATION=30m CRASH_SEED=1 CRASH_VERSION=17 go test -v -timeout 0 ./internal/crashtest
package crashtest
