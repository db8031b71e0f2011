package metrics

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pgwitness/decoder"
	"pgwitness/internal/replication"
)

// full returns Metrics in which everything has happened, with two sinks and with 25 tables and 25 users beside the rest.
func full(t testing.TB) *Metrics {
	t.Helper()
	m := everything(t, "archive", "file")
	m.ObserveStandby(replication.StandbyState{Name: "c:5432"})
	for i := range 30 {
		var rows [][]byte
		for _, word := range []string{"INSERT", "UPDATE", "DELETE", "TRUNCATE", "LOGIN"} {
			rows = append(rows, row(word, fmt.Sprintf("user_%d", i), fmt.Sprintf("table_%d", i)))
		}
		lsn := decoder.LSN(0x2000 + i*0x100)
		m.Durable(decode(t, lsn, rows...), lsn+0x30)
	}
	return m
}

func scrape(t testing.TB, handler http.Handler, header http.Header) *bytes.Buffer {
	t.Helper()
	response := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	request.Header = header
	handler.ServeHTTP(response, request)
	if response.Code != http.StatusOK {
		t.Fatalf("%d: %s", response.Code, response.Body)
	}
	return response.Body
}

func TestCardinality(t *testing.T) {
	const most = 500
	body := scrape(t, promhttp.HandlerFor(full(t).Registry(), promhttp.HandlerOpts{}), http.Header{}).String()
	total, ours := 0, 0
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "#") {
			total++
			if strings.HasPrefix(line, namespace) {
				ours++
			}
		}
	}
	t.Logf("%d series, %d of them pgwitness's own, in %d bytes", total, ours, len(body))
	if total >= most {
		t.Errorf("%d series, want fewer than %d", total, most)
	}
	for _, want := range []string{`{operation="other",table="table_23"}`, `{user="user_23"}`, `{operation="delete",table="other"} 6`} {
		if !strings.Contains(body, want) { // "orders" and "app" came first
			t.Errorf("%s is not there", want)
		}
	}
}

// BenchmarkScrape is a scrape as Prometheus makes it, without the network.
func BenchmarkScrape(b *testing.B) {
	handler := promhttp.HandlerFor(full(b).Registry(), promhttp.HandlerOpts{EnableOpenMetrics: true})
	header := http.Header{"Accept": {"application/openmetrics-text;version=1.0.0"}, "Accept-Encoding": {"gzip"}}
	b.ReportAllocs()
	for b.Loop() {
		scrape(b, handler, header)
	}
}
