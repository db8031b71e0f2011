package decoder_test

import (
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

// BenchmarkDecode decodes transactions into a batch that is reset after each, as the pipeline does; MB/s are of messages.
func BenchmarkDecode(b *testing.B) {
	longText := strings.Repeat("Grüße aus dem Audit. ", 200)
	for _, c := range []struct {
		name     string
		relation []byte
		messages [][]byte
	}{
		{"seed/1000 rows", pgoutputtest.AuditRelation(), transaction(1000)},
		{"seed/1 row", pgoutputtest.AuditRelation(), transaction(1)},
		{"4 KiB text", noteRelation(), within(100, pgoutputtest.Insert(1, "1", longText))},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := decoder.New(seedConfig)
			feed(b, d, c.relation)
			var batch decoder.Batch
			size := 0
			for _, m := range c.messages {
				size += len(m)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				for _, m := range c.messages {
					if _, err := d.Decode(m, &batch); err != nil {
						b.Fatal(err)
					}
				}
			}
			rows := float64(len(c.messages) - 2) // without BEGIN and COMMIT
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
