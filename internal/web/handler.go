package web

import (
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pgwitness/internal/retry"
	"pgwitness/internal/web/page"
)

// index is what / says to whoever does not accept HTML, as curl does; a browser gets the page.
const index = `pgwitness

/metrics  metrics for Prometheus
/healthz  200 while the process makes progress, 503 when a restart may help
/readyz   200 while this process streams audit rows, or stands by for the one that does
/status   what is going on, what is wrong and what to do, in JSON
/events   the events that come, one a line, with http.show_events
`

// errorLog is for what net/http and promhttp complain of: a port scan or a client in a loop is not to fill the log.
func errorLog(logger *slog.Logger, level slog.Level, message string) *log.Logger {
	return log.New(retry.NewOutage(logger).Writer(level, message), "", 0)
}

// newHandler routes GET and HEAD; net/http answers the rest with 404 and 405. What goes on for long ends once closing is closed.
func newHandler(cfg Config, closing <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorLog:          errorLog(cfg.Logger, slog.LevelError, "metrics could not be gathered whole; the next scrape tries again"),
	}))
	mux.Handle("GET /healthz", probe(func() (string, error) { return "ok", cfg.Healthy() }))
	mux.Handle("GET /readyz", probe(cfg.Ready))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, cfg.Status()) })
	mux.HandleFunc("GET /events", events(cfg.Events, closing))
	if cfg.Pprof {
		handleProfiles(mux)
	}
	site := page.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, index) }))
	mux.Handle("GET /{$}", site)
	mux.Handle("GET /page/", site)
	return mux
}

// probe answers with 200 and what check says, or with 503 and the reason in one line.
func probe(check func() (string, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		said, err := check()
		if err != nil {
			writeText(w, http.StatusServiceUnavailable, strings.Join(strings.Fields(err.Error()), " ")+"\n")
			return
		}
		writeText(w, http.StatusOK, said+"\n")
	})
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) //nolint:gosec // no HTML, and no browser takes it for some
}
