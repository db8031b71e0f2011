package status

import (
	"math/bits"
	"time"
)

// kept is how many seconds a series remembers: the minute of a Rate, the second that is still going on, and some more for
// one that is read a little later.
const kept = 64

// series counts by the second.
type series [kept]struct {
	second int64 // of Unix time
	count  uint64
}

func (s *series) add(second int64, n int) {
	slot := &s[second%kept]
	if slot.second != second {
		slot.second, slot.count = second, 0
	}
	slot.count += uint64(n)
}

// rates are those before second, of what has been counted since the second since.
func (s *series) rates(since, second int64) Rate {
	return Rate{Last10s: s.rate(since, second, 10), Last60s: s.rate(since, second, 60)}
}

// rate is over whole seconds: a second that has just begun would make it swing.
func (s *series) rate(since, second, over int64) float64 {
	from := max(since, second-over)
	if from >= second {
		return 0
	}
	var sum uint64
	for _, slot := range s {
		if from <= slot.second && slot.second < second {
			sum += slot.count
		}
	}
	return float64(sum) / float64(second-from)
}

const (
	// A bucket is an eighth of an octave, so a quantile is at most an eighth too large.
	octaveBits = 3
	octave     = 1 << octaveBits
	// longest is the octave of the longest latency told apart, in microseconds: 2⁴⁰ µs are 12 days.
	longest = 40
	buckets = (longest + 1) * octave

	latencyStep  = 10 // seconds
	latencySlots = 7  // the last minute, and the step that is still going on
)

// latencies counts durations by steps of time, in buckets.
type latencies [latencySlots]struct {
	step   int64
	counts [buckets]uint32
}

func (l *latencies) add(now time.Time, latency time.Duration) {
	step := now.Unix() / latencyStep
	slot := &l[step%latencySlots]
	if slot.step != step {
		slot.step, slot.counts = step, [buckets]uint32{}
	}
	slot.counts[bucket(latency)]++
}

// bucket is that of a duration; the server's clock may be ahead of ours.
func bucket(latency time.Duration) int {
	micros := uint64(min(max(latency.Microseconds(), 1), 1<<(longest+1)-1))
	exponent := bits.Len64(micros) - 1
	return exponent<<octaveBits | int(micros<<octaveBits>>exponent)&(octave-1)
}

// bound is where a bucket ends.
func bound(bucket int) time.Duration {
	exponent, eighths := bucket>>octaveBits, bucket&(octave-1)
	return time.Duration((octave+eighths+1)<<exponent) * time.Microsecond >> octaveBits
}

func (l *latencies) read(now time.Time) Latency {
	var sum [buckets]uint64
	var total uint64
	oldest := now.Unix()/latencyStep - latencySlots
	for i := range l {
		if l[i].step <= oldest {
			continue
		}
		for bucket, n := range l[i].counts {
			sum[bucket] += uint64(n)
			total += uint64(n)
		}
	}
	quantile := func(percent uint64) float64 {
		rank := (total*percent + 99) / 100
		for bucket, n := range sum {
			if n >= rank && rank > 0 {
				return bound(bucket).Seconds()
			}
			rank -= n
		}
		return 0
	}
	return Latency{P50: quantile(50), P99: quantile(99), Transactions: total}
}
