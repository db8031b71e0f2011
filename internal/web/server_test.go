package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"pgwitness/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// start listens on a free port of the loopback and serves until the returned function, or the test's end, stops it.
func start(t *testing.T, cfg Config) (*Server, func() error) {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Status == nil {
		cfg.Status = func() status.Status { return status.Status{} }
	}
	server, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return server, serve(t, server)
}

// serve serves until the returned function, or the test's end, stops it.
func serve(t *testing.T, server *Server) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	stop := func() error {
		cancel()
		select {
		case err := <-ran:
			ran <- err // for the next call
			return err
		case <-time.After(patience):
			return errors.New("Run does not return")
		}
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return stop
}

type response struct {
	*http.Response
	body string
}

func request(t *testing.T, server *Server, method, path string, headers ...string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+server.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res, string(body)}
}

func TestListenErrors(t *testing.T) {
	taken, _ := start(t, Config{})
	tests := []struct{ name, listen, want string }{
		{"taken", taken.Addr().String(), "bind"},
		{"no such port", "127.0.0.1:99999", "invalid port"},
		{"no port", "127.0.0.1", "missing port in address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Listen(Config{Listen: tt.listen})
			if !errors.Is(err, ErrListen) {
				t.Fatalf("the error is %v, want an ErrListen", err)
			}
			for _, want := range []string{"http.listen", fmt.Sprintf("%q", tt.listen), tt.want, `"off"`} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %s", err, want)
				}
			}
		})
	}
}

func TestRunGivesThePortBack(t *testing.T) {
	server, err := Listen(Config{Listen: "127.0.0.1:0", Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", server.Addr().String()) // the address is bound before Run
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Run(ctx); err != nil {
		t.Fatal(err)
	}
	again, err := net.Listen("tcp", server.Addr().String())
	if err != nil {
		t.Fatalf("the port is still taken after Run: %v", err)
	}
	again.Close()
}

// huge is a gatherer of more than what the sockets between a server and a client that does not read can hold.
type huge struct{ asked chan struct{} }

const hugeSize = 16 << 20

func (h huge) Gather() ([]*dto.MetricFamily, error) {
	close(h.asked)
	name, help, value := "huge", strings.Repeat("x", hugeSize), 1.0
	return []*dto.MetricFamily{{
		Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum(),
		Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &value}}},
	}}, nil
}

func TestClientsDoNotHoldUpShutdown(t *testing.T) {
	tests := []struct {
		name, send string
		asks       bool
	}{
		{"nothing was sent", "", false},
		{"half a request", "GET /metrics HTTP/1.1\r\nHost: x\r\n", false},
		{"the response is not read", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := make(chan struct{})
			server, stop := start(t, Config{Metrics: huge{asked}})
			conn, err := net.Dial("tcp", server.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, tt.send); err != nil {
				t.Fatal(err)
			}
			if tt.asks {
				select {
				case <-asked:
				case <-time.After(patience):
					t.Fatal("the request has not been taken")
				}
			}
			began := time.Now()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > shutdownGrace+3*time.Second {
				t.Errorf("Run returned after %s", took)
			}
			if err := conn.SetReadDeadline(time.Now().Add(headerTimeout / 2)); err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, conn)
			var netErr net.Error
			if errors.As(err, &netErr) && netErr.Timeout() || n >= hugeSize {
				t.Errorf("the connection was not cut off: read %d bytes, then %v", n, err)
			}
		})
	}
}

func TestShutdownFinishesResponses(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	server, stop := start(t, Config{Ready: func() (string, error) {
		close(asked)
		<-answer
		return "ok", nil
	}})
	answered := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + server.Addr().String() + "/readyz")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answered <- string(body)
	}()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	// The port is given back as soon as the shutdown has begun.
	for {
		conn, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
	}
	close(answer)
	if body := <-answered; body != "ok\n" {
		t.Errorf("the response in progress became %q", body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestRunFailsWithItsListener(t *testing.T) {
	server, err := Listen(Config{Listen: "127.0.0.1:0", Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	server.listener.Close()
	if err := server.Run(t.Context()); err == nil || !strings.Contains(err.Error(), server.Addr().String()) {
		t.Errorf("Run returned %v, want an error that names the address", err)
	}
}
