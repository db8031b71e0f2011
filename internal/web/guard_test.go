package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// passwordHash is bcrypt's of "correct horse", of the lowest cost there is.
const passwordHash = "$2a$04$7AIjbn3vxXhzxberpdhaM.sccWuM3UnDFKtDSsM73HWJKrJ421L3W"

// write writes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate writes server.crt and server.key for 127.0.0.1, and returns who trusts them.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, dir, "server.crt", string(public))
	write(t, dir, "server.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(public)
	return trusted
}

func TestWebConfig(t *testing.T) {
	const users, encrypted = "basic_auth_users: {prometheus: " + passwordHash + "}\n", "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
	tests := []struct{ name, config, scheme string }{
		{"basic auth", users, "http"},
		{"TLS", encrypted, "https"},
		{"both", users + encrypted, "https"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certificate(t, dir)}, ForceAttemptHTTP2: true}
			client := &http.Client{Transport: transport}
			server, _ := start(t, Config{
				WebConfig: write(t, dir, "web.yml", tt.config), Pprof: true, Logger: slog.New(slog.DiscardHandler),
				Ready: func() (string, error) { return "", errors.New("not streaming") },
			})
			t.Cleanup(transport.CloseIdleConnections)
			ask := func(path, user, password string) (int, string) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.scheme+"://"+server.Addr().String()+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if user != "" {
					req.SetBasicAuth(user, password)
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return res.StatusCode, string(body)
			}
			unknown := http.StatusOK
			if strings.Contains(tt.config, "users") {
				unknown = http.StatusUnauthorized
			}
			for _, path := range []string{"/", "/metrics", "/status", "/debug/pprof/", "/debug/pprof/heap"} {
				for _, who := range []struct {
					user, password string
					want           int
				}{{"", "", unknown}, {"prometheus", "wrong", unknown}, {"prometheus", "correct horse", http.StatusOK}} {
					if got, _ := ask(path, who.user, who.password); got != who.want {
						t.Errorf("%s is answered with %d to %q with %q, want %d", path, got, who.user, who.password, who.want)
					}
				}
			}
			if code, body := ask("/events", "", ""); unknown == http.StatusUnauthorized && code != unknown {
				t.Errorf("/events is answered with %d %s", code, body)
			}
			if code, body := ask("/healthz", "", ""); code != http.StatusOK || body != "ok\n" {
				t.Errorf("/healthz is answered with %d %q", code, body)
			}
			if code, body := ask("/readyz", "", ""); code != http.StatusServiceUnavailable || body != "not streaming\n" {
				t.Errorf("/readyz is answered with %d %q", code, body)
			}
			for _, path := range []string{"//healthz", "/healthz/", "/healthz/../metrics", "/x/../healthz", "/%68ealthz/metrics"} {
				if code, body := ask(path, "", ""); unknown == http.StatusUnauthorized && code == http.StatusOK && body != "ok\n" {
					t.Errorf("%s goes around the password: %.100s", path, body)
				}
			}
		})
	}
}

func TestWebConfigMistakes(t *testing.T) {
	tests := []struct{ name, config, want string }{
		{"unknown key", "basic_auth_user: {}\n", "field basic_auth_user not found"},
		{"not YAML", "{", "yaml"},
		{"a password that is not hashed", "basic_auth_users: {prometheus: correct horse}\n", "hash"},
		{"a password in the wrong place", "basic_auth_users: correct horse\n", "cannot unmarshal"},
		{"no such certificate", "tls_server_config: {cert_file: nowhere.crt, key_file: nowhere.key}\n", "nowhere.crt"},
		{"a certificate without its key", "tls_server_config: {cert_file: server.crt}\n", "key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Listen(Config{Listen: "127.0.0.1:0", WebConfig: write(t, t.TempDir(), "web.yml", tt.config)})
			if !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "http.web_config") {
				t.Errorf("the error is %v, want an ErrListen that says %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "correct") {
				t.Errorf("the error tells a password: %v", err)
			}
		})
	}
	if _, err := Listen(Config{Listen: "127.0.0.1:0", WebConfig: filepath.Join(t.TempDir(), "none.yml")}); !errors.Is(err, ErrListen) {
		t.Errorf("the error is %v, want an ErrListen", err)
	}
}

func TestProfiles(t *testing.T) {
	server, _ := start(t, Config{Pprof: true})
	for path, want := range map[string]string{
		"/debug/pprof/":                   "goroutine",
		"/debug/pprof/goroutine?debug=1":  "goroutine profile:",
		"/debug/pprof/profile?seconds=1":  "\x1f\x8b",
		"/debug/pprof/trace?seconds=0.01": "go 1.",
		"/debug/pprof/cmdline":            "Unknown profile",
	} {
		if got := request(t, server, http.MethodGet, path); !strings.Contains(got.body, want) {
			t.Errorf("%s is answered with %d %.100q, want %q", path, got.StatusCode, got.body, want)
		}
	}
}
