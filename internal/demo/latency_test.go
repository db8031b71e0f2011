package demo

import (
	"math"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	var l latencies
	if got := l.quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	for i := 1; i <= 100; i++ {
		l.add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		if got := l.quantile(q); math.Abs(float64(got-want)) > 0.02*float64(want) {
			t.Errorf("quantile %v is %v, want %v within 2 %%", q, got, want)
		}
	}
	// What no clock should give has its place too.
	l.add(-time.Second)
	l.add(time.Hour * 1000)
	if l.counts[0] != 1 || l.counts[len(l.counts)-1] != 1 {
		t.Error("a duration out of range is not counted at its end")
	}
}

func TestLatencyOfLines(t *testing.T) {
	var l latencies
	at := time.Date(2026, 11, 23, 8, 30, 0, 10e6, time.UTC)
	line := `{"id":"1-x","commit_time":"2026-11-23T08:30:00.000000Z","row":{"commit_time":"1999-01-01T00:00:00Z"}}` + "\n"
	if err := l.lines([]byte(line+line), at); err != nil || l.total != 2 {
		t.Fatalf("%d lines, error %v", l.total, err)
	}
	if got := l.quantile(1).Round(time.Millisecond); got != 10*time.Millisecond {
		t.Errorf("got %v, want 10ms", got)
	}
	if err := l.lines([]byte("{}\n"), at); err == nil {
		t.Error("a line without a commit_time is taken for an event")
	}
}
