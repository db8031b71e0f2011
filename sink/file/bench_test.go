package file

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"pgwitness/internal/pgoutputtest"
	"pgwitness/sink/sinktest"
)

// BenchmarkWrite writes batches of that many events, with an fsync each.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			events := pgoutputtest.Events(firstLSN, size, 1)
			s, err := New(Config{Path: filepath.Join(b.TempDir(), "audit.jsonl")})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Open(b.Context(), sinktest.Origin); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(joinLines(events))))
			b.ReportAllocs()
			for b.Loop() {
				for i := range events {
					events[i].LSN += 1 << 24 // each batch stands behind the one before
				}
				if err := s.Write(b.Context(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkLastLine is what Open reads of a large file.
func BenchmarkLastLine(b *testing.B) {
	text := joinLines(pgoutputtest.Events(firstLSN, 100_000, 1))
	b.SetBytes(maxUnsynced)
	for b.Loop() {
		if _, end, err := lastLine(bytes.NewReader(text), int64(len(text))); err != nil || end != int64(len(text)) {
			b.Fatal(end, err)
		}
	}
}
