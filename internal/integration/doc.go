// Package integration holds the scenarios that need the whole binary and a real server: what becomes of the promises when a
// sink is stuck, a disk is full, a server is stopped or another one takes its place, a process is frozen, or somebody meddles
// with slot, publication or table.
//
// What is known of the protocol was learnt from real servers, and each fact is held by a test against one:
//
//	the exact end of a commit is confirmed, no byte more   crashtest
//	the next commit may begin where the last one ended     crashtest, internal/pipeline (simulation)
//	the order is that of commits, then of insertion        crashtest
//	only committed rows, in bounded memory                 crashtest, TestStuckSink
//	keepalives move an idle slot                           TestIdleAuditTable
//	a walsender that answers queries decodes with them     TestAlteredTable, TestPublication
//	RELATION comes again after ALTER; partitions' leaves   TestAlteredTable, decoder (recorded transcripts)
//	publication dropped, or younger than the slot          TestPublication
//	slot invalidated: 57P01, then 55000                    TestSlotInvalidatedWhileStreaming, …WhileStopped
//	slot in use: 55006; missing: 42704; no right: 42501    TestSecondConsumer, TestSlot
//	a standby cannot be followed                           TestStandby
//	a slot comes free when its connection ends             TestTakeover, TestFrozenReplica
//	what was confirmed may not be on the new timeline      TestStandbyBehind
//	a copied slot may be behind what was confirmed         TestFailover
//	waiting for a standby: 55000 and 42704 too             TestStandbyAway
//	a fast shutdown waits for the consumer                 TestStuckSink, TestServerRestart
//	a clean restart sends again                            TestServerRestart
//	a server at an earlier WAL position, a future LSN      internal/replication (TestContinues)
//	row_data is passed through byte for byte               crashtest, decoder
package integration
