package webclient

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"pgwitness/internal/config"
	"pgwitness/internal/feed"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/internal/status"
	"pgwitness/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClient returns a client that is closed at the test's end.
func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve is a real listener.
func serve(t *testing.T, cfg web.Config) (url string) {
	t.Helper()
	cfg.Listen, cfg.Metrics = "127.0.0.1:0", metrics.New(metrics.Config{}).Registry()
	server, err := web.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return "http://" + server.Addr().String()
}

func TestStatus(t *testing.T) {
	want := status.Status{Version: "v1", Role: status.Standby, Problems: []status.Problem{{Severity: status.Info, What: "a", Fix: "b"}}, Sinks: []status.Sink{}}
	c := newClient(t, Config{URL: serve(t, web.Config{Status: func() status.Status { return want }})})
	got, body, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" || !strings.HasPrefix(string(body), "{\n  \"version\": \"v1\"") {
		t.Errorf("the body is %s (-want +got):\n%s", body, diff)
	}
}

func TestEvents(t *testing.T) {
	f := feed.New(feed.Config{Next: metrics.New(metrics.Config{})})
	c := newClient(t, Config{URL: serve(t, web.Config{Events: f})})
	batch := pgoutputtest.Events(0x1000, 1, 3)
	f.Durable(batch[:2], 0)

	past, err := c.Events(t.Context(), Request{Last: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	if line, err := past.Next(); err != nil || string(line) != string(batch[1].Line()) {
		t.Errorf("got %s and %v", line, err)
	}
	if line, err := past.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last one came %s and %v", line, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	live, err := c.Events(ctx, Request{Follow: true, Filter: feed.Filter{Tables: []string{"customers"}, Operations: []string{"update"}, Users: []string{"app"}, Kinds: []string{"audit"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	f.Durable(batch[2:], 0)
	if line, err := live.Next(); err != nil || string(line) != string(batch[2].Line()) {
		t.Errorf("got %s and %v", line, err)
	}
	cancel()
	if _, err := live.Next(); !errors.Is(err, ErrUnreachable) {
		t.Errorf("cancelled, the error is %v", err)
	}
}

func TestNewErrors(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"no URL", Config{}, "want http://host:port"},
		{"no scheme", Config{URL: "localhost:9717"}, "want http://host:port"},
		{"another scheme", Config{URL: "postgres://u:SECRET@h/db"}, "want http://host:port"},
		{"no URL at all", Config{URL: "http://SECRET\x7f"}, "want http://host:port"},
		{"a query", Config{URL: "http://h?token=SECRET"}, "want http://host:port"},
		{"a password in the URL", Config{URL: "http://u:SECRET@h"}, "--password-file"},
		{"no user", Config{URL: "http://h", PasswordFile: "/missing"}, "--login"},
		{"no password file", Config{URL: "http://h", User: "u", PasswordFile: "/missing"}, "/missing"},
		{"no CA file", Config{URL: "http://h", CAFile: "/missing"}, "/missing"},
		{"no certificate", Config{URL: "http://h", CAFile: write(t, "x")}, "want PEM"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.cfg)
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}

// Whom a client does not understand it tells of in words that help.
func TestAnswers(t *testing.T) {
	secured := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "prometheus" || password != "SECRET" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"version": "v1"}`)
	}))
	secured.Config.ErrorLog = nil
	secured.StartTLS()
	t.Cleanup(secured.Close)
	ca := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw})))
	answer := func(code int, text string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, text)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	password := write(t, "SECRET\r\n")
	tests := []struct {
		name  string
		cfg   Config
		class error // nil where it is an answer
		want  string
	}{
		{"TLS and a password", Config{URL: secured.URL, CAFile: ca, User: "prometheus", PasswordFile: password}, nil, ""},
		{"behind a proxy's path", Config{URL: answer(200, "{}") + "/db1/"}, nil, ""},
		{"no password", Config{URL: secured.URL, CAFile: ca}, ErrConfig, "--login"},
		{"an unknown authority", Config{URL: secured.URL}, ErrConfig, "--ca-file"},
		{"another name", Config{URL: strings.Replace(secured.URL, "127.0.0.1", "localhost", 1), CAFile: ca}, ErrConfig, "a URL with a name"},
		{"no TLS here", Config{URL: strings.Replace(answer(200, "{}"), "http:", "https:", 1)}, ErrConfig, "http://"},
		{"TLS there", Config{URL: strings.Replace(secured.URL, "https:", "http:", 1)}, ErrConfig, "https://"},
		{"forbidden", Config{URL: answer(403, "set http.show_events\n")}, ErrConfig, "set http.show_events"},
		{"no such page", Config{URL: answer(404, "")}, ErrUnreachable, "/status"},
		{"another server", Config{URL: answer(200, "<html>")}, ErrUnreachable, "is the URL right?"},
		{"a broken one", Config{URL: answer(502, "")}, ErrUnreachable, "502"},
		{"nobody", Config{URL: "http://" + gone.Addr().String()}, ErrUnreachable, "connection refused"},
		{"a silent one", Config{URL: "http://" + silent.Addr().String(), Timeout: 50 * time.Millisecond}, ErrUnreachable, "does not answer within 50ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := newClient(t, tt.cfg).Status(t.Context())
			if tt.class == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}

func TestListenerURL(t *testing.T) {
	secured := write(t, "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n")
	plain := write(t, "basic_auth_users:\n  u: $2y$10$SECRET\n")
	tests := []struct {
		http config.HTTP
		want string // or what the error says
		ok   bool
	}{
		{config.HTTP{Listen: ":9717"}, "http://localhost:9717", true},
		{config.HTTP{Listen: "0.0.0.0:1"}, "http://localhost:1", true},
		{config.HTTP{Listen: "[::]:1"}, "http://localhost:1", true},
		{config.HTTP{Listen: "[::1]:1"}, "http://[::1]:1", true},
		{config.HTTP{Listen: "db1.example.com:1"}, "http://db1.example.com:1", true},
		{config.HTTP{Listen: ":1", WebConfig: secured}, "https://localhost:1", true},
		{config.HTTP{Listen: ":1", WebConfig: plain}, "http://localhost:1", true},
		{config.HTTP{}, "is off", false},
		{config.HTTP{Listen: "127.0.0.1:0"}, "--url", false},
		{config.HTTP{Listen: ":1", WebConfig: "/missing"}, "--url", false},
		{config.HTTP{Listen: ":1", WebConfig: write(t, "SECRET: [")}, "not YAML", false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.http), func(t *testing.T) {
			got, err := ListenerURL(tt.http)
			if tt.ok {
				if err != nil || got != tt.want {
					t.Errorf("got %q and %v, want %q", got, err, tt.want)
				}
			} else if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}
