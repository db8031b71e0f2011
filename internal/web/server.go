// Package web is the HTTP listener for those who look after pgwitness: metrics, probes and the status.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pgwitness/internal/feed"
	"pgwitness/internal/status"
)

// ErrListen is an address that cannot be listened on, or not in the way that is configured: a person must change the
// configuration (exit code 2).
var ErrListen = errors.New("cannot listen")

// Config says where to listen and what to show.
type Config struct {
	// Listen is the address, host:port or :port; the port 0 takes a free one. It has no default.
	Listen string
	// WebConfig names a file in the format of Prometheus's exporters that turns on TLS and basic authentication, but for
	// /healthz and /readyz, which ask for no password. Defaults to empty: neither.
	WebConfig string
	// Metrics is what /metrics shows. It has no default.
	Metrics prometheus.Gatherer
	// Status returns what /status shows. It has no default.
	Status func() status.Status
	// Events is what /events shows. Defaults to nil: it answers with 403.
	Events *feed.Feed
	// Pprof serves Go's profiles below /debug/pprof/. Defaults to false.
	Pprof bool
	// Healthy says why /healthz shall fail, or nil. Defaults to nil: it never does.
	Healthy func() error
	// Ready says what /readyz shall answer, or why it shall fail. Defaults to "ok": it never does.
	Ready func() (string, error)
	// Logger gets what net/http and the gathering of metrics complain of. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c *Config) setDefaults() {
	if c.Healthy == nil {
		c.Healthy = func() error { return nil }
	}
	if c.Ready == nil {
		c.Ready = func() (string, error) { return "ok", nil }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

const (
	// headerTimeout, requestTimeout and responseTimeout bound what one client can hold on to. No request has a body, and the
	// longest response, /metrics, is some 20 kB; /events has deadlines of its own.
	headerTimeout   = 5 * time.Second
	requestTimeout  = 10 * time.Second
	responseTimeout = 30 * time.Second
	// idleTimeout is longer than the usual scrape intervals, so that a scraper keeps its connection.
	idleTimeout = 2 * time.Minute
	headerLimit = 16 << 10
	// shutdownGrace is how long a response in progress may go on.
	shutdownGrace = time.Second
)

// Server is a listener that is bound.
type Server struct {
	listener  net.Listener
	http      http.Server
	open      http.Handler // what is served without a password
	webConfig string
	log       *slog.Logger
}

// Listen checks the web configuration and binds the address, so that what is wrong is known before anything else begins. Its
// error is an ErrListen.
// Connections are accepted by Run.
func Listen(cfg Config) (*Server, error) {
	cfg.setDefaults()
	if err := checkWebConfig(cfg.WebConfig); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("http.listen: %w on %q: %w; choose another address, or \"off\" for none",
			ErrListen, cfg.Listen, cause(err))
	}
	closing := make(chan struct{})
	handler := newHandler(cfg, closing)
	server := &Server{
		listener: listener, open: handler, webConfig: cfg.WebConfig, log: cfg.Logger,
		http: http.Server{
			Handler:           handler,
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       requestTimeout,
			WriteTimeout:      responseTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    headerLimit,
			ErrorLog:          errorLog(cfg.Logger, slog.LevelWarn, "a client of the listener could not be served; serving on"),
		},
	}
	server.http.RegisterOnShutdown(func() { close(closing) })
	return server, nil
}

// cause is err without the words "listen tcp" and the address, which are said already.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// Addr is the address that was bound, with the port that was taken.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx is done, and then returns nil, a moment later at most, whatever clients do. It is called once.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	select {
	case err := <-served:
		return fmt.Errorf("http.listen: serving on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if s.http.Shutdown(grace) != nil {
		_ = s.http.Close() // cuts off those that do not read
	}
	<-served //nolint:errcheck // it is http.ErrServerClosed
	return nil
}
