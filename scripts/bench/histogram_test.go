package main

import (
	"bytes"
	"context"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// histogramOf serves a native histogram of values as pgwitness does and scrapes it.
func histogramOf(t *testing.T, values []time.Duration) (quantiles, error) {
	t.Helper()
	registry := prometheus.NewRegistry()
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: latencyMetric, NativeHistogramBucketFactor: 1.1})
	registry.MustRegister(histogram)
	for _, v := range values {
		histogram.Observe(v.Seconds())
	}
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	scraped, err := scrape(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return latencies(scraped)
}

func TestLatencies(t *testing.T) {
	uniform := make([]time.Duration, 10_000)
	for i := range uniform {
		uniform[i] = time.Duration(i+1) * time.Microsecond
	}
	apart := make([]time.Duration, 100) // empty buckets lie between
	for i := range apart {
		apart[i] = 400 * time.Microsecond
	}
	apart[98], apart[99] = 3*time.Second, 3*time.Second
	for _, c := range []struct {
		name   string
		values []time.Duration
		want   quantiles
	}{
		{"uniform", uniform, quantiles{p50: 5 * time.Millisecond, p99: 9900 * time.Microsecond}},
		{"far apart", apart, quantiles{p50: 400 * time.Microsecond, p99: 3 * time.Second}},
		{"the server's clock is ahead", make([]time.Duration, 10), quantiles{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := histogramOf(t, c.values)
			if err != nil {
				t.Fatal(err)
			}
			if !near(got.p50, c.want.p50) || !near(got.p99, c.want.p99) {
				t.Errorf("quantiles %v, want about %v", got, c.want)
			}
		})
	}
}

// near allows for the width of a bucket.
func near(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= 0.091*float64(want)
}

func TestLatenciesOfNothing(t *testing.T) {
	if got, err := histogramOf(t, nil); err == nil {
		t.Errorf("an empty histogram has the quantiles %v, want an error", got)
	}
}

func TestReport(t *testing.T) {
	rounds := []round{
		{pgwitness: cost{wall: time.Second, user: time.Second, peak: 30 << 20, bytes: 400_000}, receiver: cost{wall: 2 * time.Second, user: time.Second, bytes: 150_000}},
		{pgwitness: cost{wall: 2 * time.Second, user: time.Second, peak: 34 << 20, bytes: 400_000}, receiver: cost{wall: 2 * time.Second, user: time.Second, bytes: 150_000}},
		{pgwitness: cost{wall: 4 * time.Second, user: 2 * time.Second, peak: 31 << 20, bytes: 400_000}, receiver: cost{wall: 2 * time.Second, user: time.Second, bytes: 150_000}},
	}
	s := scenario{letter: "x", name: "made up", wantRate: 1, wantCPU: 0.5, wantPeak: 32}
	for _, c := range []struct {
		name     string
		markdown bool
		want     []string
	}{
		{"text", false, []string{
			"(x) made up: 1,000 rows, 3 rounds",
			"rows/s   500 (250–1000)   500   1.00 (0.50–2.00)   ≥ 1.0 × ✓",
			"CPU µs a row   1000.00 (1000.00–2000.00)   1000.00   1.00 (1.00–2.00)   ≤ 0.5 × ✗",
			"peak RSS, MB   31.0 (30.0–34.0)   0.0   ≤ 32 MB ✗", // the highest counts
			"bytes a row   400   150",
		}},
		{"Markdown", true, []string{
			"### (x) made up: 1,000 rows, 3 rounds",
			"|---|---:|---:|---:|---:|",
			"| rows/s | 500 (250–1000) | 500 | 1.00 (0.50–2.00) | ≥ 1.0 × ✓ |",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := (report{out: &out, markdown: c.markdown}).drain(s, 1000, rounds); err != nil {
				t.Fatal(err)
			}
			got := squeeze(out.String())
			for _, want := range c.want {
				if !strings.Contains(got, squeeze(want)) {
					t.Errorf("the report lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// squeeze makes one blank of several.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestParse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-rounds 0", "more than 0"},
		{"-postgres 13", "choose one of"},
		{"-scenarios ax", "there is no scenario"},
		{"a", "unexpected argument"},
	} {
		_, err := parse(strings.Fields(c.args), new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("parse(%s) gave %v, want an error with %q", c.args, err, c.want)
		}
	}
	if o, err := parse(nil, new(bytes.Buffer)); err != nil || o.rounds < 3 {
		t.Errorf("the defaults are %+v, %v", o, err)
	}
}

func TestScrapeWithoutTheMetric(t *testing.T) {
	server := httptest.NewServer(promhttp.HandlerFor(prometheus.NewRegistry(), promhttp.HandlerOpts{}))
	defer server.Close()
	_, err := scrape(context.Background(), strings.TrimPrefix(server.URL, "http://"))
	if err == nil || !strings.Contains(err.Error(), "has no "+latencyMetric) {
		t.Errorf("scrape gave %v, want the metric's absence", err)
	}
}
