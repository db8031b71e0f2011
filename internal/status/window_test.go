package status

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSeries(t *testing.T) {
	var s series
	const start = 1_000_000
	rates := func(second int64) Rate { return s.rates(start, second) }
	if got := rates(start); got != (Rate{}) {
		t.Errorf("at the start it is %v", got)
	}
	s.add(start, 7)
	if got := rates(start); got != (Rate{}) {
		t.Errorf("a second that is going on counts: %v", got)
	}
	if got, want := rates(start+2), (Rate{3.5, 3.5}); got != want {
		t.Errorf("after two seconds it is %v, want %v", got, want)
	}
	for second := int64(start + 1); second < start+300; second++ {
		s.add(second, 5)
		s.add(second, 5)
	}
	s.add(start+295, 90) // in both
	if got, want := rates(start+300), (Rate{19, 11.5}); got != want {
		t.Errorf("later it is %v, want %v", got, want)
	}
	if got := rates(start + 400); got != (Rate{}) {
		t.Errorf("long after the last it is %v", got)
	}
}

func TestLatencies(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var l latencies
	if got := l.read(now); got != (Latency{}) {
		t.Errorf("of nothing it is %v", got)
	}
	l.add(now.Add(-100*time.Second), 30*time.Hour) // too old
	durations := make([]time.Duration, 10_000)
	for i := range durations {
		durations[i] = time.Duration(rand.ExpFloat64() * float64(20*time.Millisecond))
		l.add(now.Add(-time.Duration(rand.IntN(60))*time.Second), durations[i])
	}
	slices.Sort(durations)
	got := l.read(now)
	for percent, quantile := range map[int]float64{50: got.P50, 99: got.P99} {
		if want := durations[len(durations)*percent/100].Seconds(); quantile < want*.99 || quantile > want*1.14 {
			t.Errorf("p%d is %v, want %v and an eighth at most", percent, quantile, want)
		}
	}
	if got.Transactions != uint64(len(durations)) {
		t.Errorf("%d transactions, want %d", got.Transactions, len(durations))
	}
	if got := l.read(now.Add(2 * time.Minute)); got != (Latency{}) {
		t.Errorf("two minutes later it is %v", got)
	}
}

func TestBuckets(t *testing.T) {
	last := -1
	for micros := range int64(100_000) {
		d := time.Duration(micros) * time.Microsecond
		b := bucket(d)
		if b < last || b > last+octave {
			t.Fatalf("%v is in bucket %d after %d", d, b, last)
		}
		if end := bound(b); end <= d || micros > 0 && end > d*9/8+time.Microsecond {
			t.Fatalf("%v is in a bucket that ends at %v", d, end)
		}
		last = b
	}
	for _, d := range []time.Duration{-time.Hour, 1<<63 - 1} {
		if b := bucket(d); b < 0 || b >= buckets {
			t.Errorf("%v is in bucket %d of %d", d, b, buckets)
		}
	}
}
