package web

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"pgwitness/internal/metrics"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/internal/status"
)

func TestRoutes(t *testing.T) {
	server, _ := start(t, Config{
		Ready:   func() (string, error) { return "", errors.New("not streaming:\n\tno connection") },
		Healthy: func() error { return nil },
	})
	const text, allow = "text/plain; charset=utf-8", "GET, HEAD"
	tests := []struct {
		method, path string
		code         int
		contentType  string
		body         string
	}{
		{"GET", "/", 200, text, index},
		{"GET", "/healthz", 200, text, "ok\n"},
		{"HEAD", "/healthz", 200, text, ""},
		{"GET", "/readyz", 503, text, "not streaming: no connection\n"},
		{"HEAD", "/readyz", 503, text, ""},
		{"HEAD", "/status", 200, "application/json", ""},
		{"GET", "/favicon.ico", 404, text, "404 page not found\n"},
		{"GET", "/metrics/", 404, text, "404 page not found\n"},
		{"GET", "/debug/pprof/", 404, text, "404 page not found\n"},
		{"POST", "/metrics", 405, text, "Method Not Allowed\n"},
		{"DELETE", "/status", 405, text, "Method Not Allowed\n"},
		{"PUT", "/", 405, text, "Method Not Allowed\n"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			got := request(t, server, tt.method, tt.path)
			if got.StatusCode != tt.code || got.body != tt.body {
				t.Errorf("answered %d %q, want %d %q", got.StatusCode, got.body, tt.code, tt.body)
			}
			if ct := got.Header.Get("Content-Type"); ct != tt.contentType {
				t.Errorf("the content type is %q, want %q", ct, tt.contentType)
			}
			if tt.code == http.StatusMethodNotAllowed && got.Header.Get("Allow") != allow {
				t.Errorf("Allow is %q, want %q", got.Header.Get("Allow"), allow)
			}
		})
	}
}

// exemplar has its labels in either order: client_golang takes them from a map.
var exemplar = regexp.MustCompile(` # \{(lsn="0/[0-9A-F]+",xid="\d+"|xid="\d+",lsn="0/[0-9A-F]+")\} `)

func TestMetricsFormats(t *testing.T) {
	m := metrics.New(metrics.Config{Sinks: []string{"file"}})
	m.Durable(pgoutputtest.Events(0x1000, 3, 2), 0x1230)
	server, _ := start(t, Config{Metrics: m.Registry()})

	protobuf := "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	tests := []struct {
		name, accept, contentType string
	}{
		{"text", "", "text/plain; version=0.0.4"},
		{"OpenMetrics", "application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0"},
		{"protobuf", protobuf, "application/vnd.google.protobuf"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := request(t, server, http.MethodGet, "/metrics", "Accept", tt.accept)
			if ct := got.Header.Get("Content-Type"); !strings.HasPrefix(ct, tt.contentType) {
				t.Fatalf("the content type is %q, want %q", ct, tt.contentType)
			}
			if tt.name == "OpenMetrics" {
				if !strings.Contains(got.body, "\npgwitness_transactions_total 3.0\n") || !strings.HasSuffix(got.body, "# EOF\n") {
					t.Errorf("not OpenMetrics, or not all of it:\n%s", got.body)
				}
				if !exemplar.MatchString(got.body) {
					t.Errorf("no exemplar like %s in\n%s", exemplar, got.body)
				}
				return // expfmt has no parser for it
			}
			families := parse(t, got)
			if got := families["pgwitness_transactions_total"].GetMetric()[0].GetCounter().GetValue(); got != 3 {
				t.Errorf("%v transactions, want 3", got)
			}
			histogram := families["pgwitness_commit_to_durable_seconds"].GetMetric()[0].GetHistogram()
			if len(histogram.GetBucket()) < 20 || histogram.GetSampleCount() != 3 {
				t.Errorf("the histogram has %d classic buckets and %d observations", len(histogram.GetBucket()), histogram.GetSampleCount())
			}
			if native := len(histogram.GetPositiveSpan())+int(histogram.GetZeroCount()) > 0; native != (tt.accept == protobuf) {
				t.Errorf("has native buckets: %t", native)
			}
		})
	}
}

func parse(t *testing.T, res response) map[string]*dto.MetricFamily {
	t.Helper()
	families := map[string]*dto.MetricFamily{}
	decoder := expfmt.NewDecoder(strings.NewReader(res.body), expfmt.ResponseFormat(res.Header))
	for {
		family := new(dto.MetricFamily)
		if err := decoder.Decode(family); errors.Is(err, io.EOF) {
			return families
		} else if err != nil {
			t.Fatal(err)
		}
		if !model.LegacyValidation.IsValidMetricName(family.GetName()) {
			t.Errorf("%q is no name of a metric", family.GetName())
		}
		families[family.GetName()] = family
	}
}

// TestScrapeWhileObserving is for the race detector; and what was counted must be there in the end.
func TestScrapeWhileObserving(t *testing.T) {
	m := metrics.New(metrics.Config{Sinks: []string{"a", "b"}})
	meter := status.NewMeter(m)
	server, _ := start(t, Config{
		Metrics: m.Registry(), Healthy: m.Healthy, Ready: m.Ready,
		Status: func() status.Status { return meter.Status(status.Config{}, m.Snapshot(), nil) },
	})
	const rounds = 50
	events := pgoutputtest.Events(0x1000, 2, 3)
	var observers sync.WaitGroup
	for _, sink := range []string{"a", "b"} {
		observers.Go(func() {
			for range rounds {
				meter.Attempt(sink)
				meter.Failed(sink, "timeout")
				meter.Attempt(sink)
				meter.Delivered(sink, 6, 600)
			}
		})
	}
	observers.Go(func() {
		for range rounds {
			meter.Durable(events, 0x1130)
		}
	})
	observers.Go(func() {
		for range rounds {
			meter.Streaming(true)
			meter.Received(0x1130)
			meter.Flushed(0x1130)
			meter.Streaming(false)
			meter.Reconnect("closed")
		}
	})
	for range 10 {
		for _, path := range []string{"/metrics", "/status", "/healthz", "/readyz"} {
			request(t, server, http.MethodGet, path)
		}
	}
	observers.Wait()
	families := parse(t, request(t, server, http.MethodGet, "/metrics"))
	for name, want := range map[string]float64{
		"pgwitness_transactions_total":          2 * rounds,
		"pgwitness_sink_delivered_bytes_total":  600 * rounds,
		"pgwitness_sink_delivered_events_total": 6 * rounds,
		"pgwitness_sink_attempts_total":         2 * rounds,
	} {
		series := families[name].GetMetric()
		if len(series) == 0 {
			t.Errorf("there is no %s", name)
		}
		for _, metric := range series {
			if got := metric.GetCounter().GetValue(); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	}
}
