package main

import (
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
	registry.MustRegister(histogram, prometheus.NewCounter(prometheus.CounterOpts{Name: "another"}))
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

func TestScrapeWithoutTheMetric(t *testing.T) {
	server := httptest.NewServer(promhttp.HandlerFor(prometheus.NewRegistry(), promhttp.HandlerOpts{}))
	defer server.Close()
	_, err := scrape(context.Background(), strings.TrimPrefix(server.URL, "http://"))
	if err == nil || !strings.Contains(err.Error(), "has no "+latencyMetric) {
		t.Errorf("scrape gave %v, want the metric's absence", err)
	}
}
