package pgoutputtest

import (
	"fmt"
	"strconv"
	"time"

	"pgwitness/decoder"
)

// Epoch is when the transactions that Events makes are committed.
var Epoch = time.Date(2026, 11, 23, 8, 30, 0, 123_456_000, time.UTC)

// Transaction is the messages of one transaction of the seed's audit table, from BEGIN to COMMIT: rows inserts, with ids
// from firstID on. Its commit record begins at lsn and ends 0x30 later.
func Transaction(lsn decoder.LSN, xid uint32, firstID, rows int) [][]byte {
	messages := [][]byte{Begin(lsn, Epoch, xid)}
	for id := firstID; id < firstID+rows; id++ {
		messages = append(messages, Insert(RelationOID, strconv.Itoa(id), "UPDATE", "2026-11-23 08:29:59.98", "app", AuditedTable(id),
			fmt.Sprintf(`{"id": %d, "event_type": "UPDATE", "column_name": "é \"quoted\""}`, id)))
	}
	return append(messages, Commit(lsn, lsn+0x30, Epoch))
}

// AuditedTable is the table that the row with this id tells of: every third is of customers, the others are of orders.
func AuditedTable(id int) string {
	if id%3 == 0 {
		return "customers"
	}
	return "orders"
}

// Events are the decoded events of that many transactions with that many rows each; the first commits at from, and each
// further one 0x100 later. Ids grow from 1.
func Events(from decoder.LSN, transactions, rowsEach int) []decoder.Event {
	d := decoder.New(decoder.Config{Source: "shop", Schema: "public", Table: "custom_audit_log"})
	var batch decoder.Batch
	feed := func(message []byte) {
		if _, err := d.Decode(message, &batch); err != nil {
			panic(err) // the tests' own encoder is wrong
		}
	}
	feed(AuditRelation())
	for i := range transactions {
		for _, m := range Transaction(from+decoder.LSN(i)*0x100, uint32(742+i), 1+i*rowsEach, rowsEach) {
			feed(m)
		}
	}
	return batch.Events
}
