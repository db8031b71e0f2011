package demo

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// latencies counts durations in buckets of 2 % width, so that its memory does not grow with the demo.
type latencies struct {
	counts [1024]int // from 1 µs to 10 minutes
	total  int
}

const bucketWidth = 1.02

// lines adds the events that could be read at a time: how long after their commit that was.
func (l *latencies) lines(lines []byte, at time.Time) error {
	for line := range bytes.Lines(lines) {
		// Nothing that comes before it in the native format can hold this text, and parsing the rest takes its time.
		_, rest, _ := bytes.Cut(line, []byte(`"commit_time":"`))
		text, _, _ := bytes.Cut(rest, []byte(`"`))
		committed, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil {
			return fmt.Errorf("the consumer's file holds a line without a commit_time: %w", err)
		}
		l.add(at.Sub(committed))
	}
	return nil
}

func (l *latencies) add(d time.Duration) {
	micros := max(1, float64(d)/float64(time.Microsecond))
	bucket := int(math.Log(micros) / math.Log(bucketWidth))
	l.counts[min(bucket, len(l.counts)-1)]++
	l.total++
}

// quantile returns the duration that the share q of all does not exceed, 0 where there is none.
func (l *latencies) quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(l.total)))
	for bucket, count := range l.counts {
		if rank -= count; rank <= 0 && l.total > 0 {
			return time.Duration(math.Pow(bucketWidth, float64(bucket+1)) * float64(time.Microsecond))
		}
	}
	return 0
}
