// Package webclient asks a running pgwitness, at its listener, what is going on.
package webclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"pgwitness/internal/status"
)

var (
	// ErrConfig is a Config that cannot work, or that the server does not accept.
	ErrConfig = errors.New("configuration")
	// ErrUnreachable is a pgwitness that does not answer, or something that is none.
	ErrUnreachable = errors.New("unreachable")
)

// Config says whom to ask.
type Config struct {
	// URL is where pgwitness listens, http://host:port, with a path before its own where a proxy adds one. It has no default.
	URL string
	// CAFile names the certificates, in PEM, of which one must have signed the server's. Defaults to the system's.
	CAFile string
	// User and PasswordFile are for basic authentication; the file holds the password, with or without a line's end. Default
	// to none.
	User, PasswordFile string
	// Timeout bounds connecting, and waiting for an answer to begin. Defaults to 10 s.
	Timeout time.Duration
}

// Client asks one pgwitness.
type Client struct {
	base      *url.URL
	transport *http.Transport
	timeout   time.Duration
	user      string
	password  string
}

// New returns a Client that has not asked anything yet. Its errors are ErrConfigs.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.URL)
	switch {
	case err != nil, base.Scheme != "http" && base.Scheme != "https", base.Host == "", base.RawQuery != "":
		// url.Parse's error repeats what it was given, which may hold a password.
		return nil, failf(ErrConfig, "the URL is not one: want http://host:port or https://host:port")
	case base.User != nil:
		return nil, failf(ErrConfig, "the URL names a user: give --login and --password-file, a password must not stand in it")
	}
	c := &Client{base: base, user: cfg.User, timeout: cfg.Timeout}
	if c.timeout <= 0 {
		c.timeout = 10 * time.Second
	}
	if c.password, err = readPassword(cfg); err != nil {
		return nil, err
	}
	secured, err := tlsConfig(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	c.transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: c.timeout}).DialContext,
		TLSClientConfig:       secured,
		TLSHandshakeTimeout:   c.timeout,
		ResponseHeaderTimeout: c.timeout,
		ForceAttemptHTTP2:     true,
	}
	return c, nil
}

func readPassword(cfg Config) (string, error) {
	switch {
	case cfg.PasswordFile == "":
		return "", nil
	case cfg.User == "":
		return "", failf(ErrConfig, "a password without a user: give --login too")
	}
	text, err := os.ReadFile(cfg.PasswordFile)
	if err != nil {
		return "", failf(ErrConfig, "the file of the password: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

func tlsConfig(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, failf(ErrConfig, "the file of the certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, failf(ErrConfig, "the file of the certificates: there is none in %s: want PEM", caFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Close gives the connections back.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// String is the URL.
func (c *Client) String() string { return c.base.String() }

// statusLimit bounds the body of /status; a few kB are usual.
const statusLimit = 1 << 20

// Status returns what /status says, and its body as it came.
func (c *Client) Status(ctx context.Context) (*status.Status, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	res, err := c.get(ctx, "status", nil)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, statusLimit))
	if err != nil {
		return nil, nil, c.unreachable(err)
	}
	now := new(status.Status)
	if err := json.Unmarshal(body, now); err != nil {
		return nil, nil, failf(ErrUnreachable, "%s answers, but not as pgwitness does (%w): is the URL right?", c, err)
	}
	return now, body, nil
}

// get asks for a page, and makes an error of every answer but 200.
func (c *Client) get(ctx context.Context, page string, query url.Values) (*http.Response, error) {
	target := *c.base
	target.Path, target.RawQuery = path.Join("/", target.Path, page), query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, failf(ErrConfig, "%w", err)
	}
	if c.user != "" {
		req.SetBasicAuth(c.user, c.password)
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	const said = 500
	text, _ := io.ReadAll(io.LimitReader(res.Body, said)) // what there is of it
	switch words := strings.Join(strings.Fields(string(text)), " "); res.StatusCode {
	case http.StatusUnauthorized:
		return nil, failf(ErrConfig, "%s wants a user and a password, or other ones: give --login and --password-file", c)
	case http.StatusBadRequest:
		if strings.Contains(words, "HTTPS server") {
			return nil, failf(ErrConfig, "%s speaks TLS: give the URL with https://", c)
		}
		fallthrough
	case http.StatusForbidden:
		return nil, failf(ErrConfig, "%s: %s", c, words)
	case http.StatusNotFound:
		return nil, failf(ErrUnreachable, "%s has no /%s: is it a pgwitness, and of this version?", c, page)
	}
	return nil, failf(ErrUnreachable, "%s answers with %s", c, res.Status)
}

// unreachable words why there is no answer.
func (c *Client) unreachable(err error) error {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		record    tls.RecordHeaderError
		op        *net.OpError
	)
	switch {
	case errors.As(err, &authority):
		return failf(ErrConfig, "%s: %w: give --ca-file", c, authority)
	case errors.As(err, &hostname):
		return failf(ErrConfig, "%s: %w: give a URL with a name that the certificate has", c, hostname)
	case errors.As(err, &record):
		return failf(ErrConfig, "%s does not speak TLS: give the URL with http://", c)
	case errors.As(err, &op) && op.Op == "dial":
		return failf(ErrUnreachable, "%s cannot be reached: %w: is pgwitness running, and is this its address?", c, op.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return failf(ErrUnreachable, "%s does not answer within %s", c, c.timeout)
	}
	return failf(ErrUnreachable, "%s: %w", c, err)
}

// classedError gives an error its class without the class's own word in the text.
type classedError struct{ class, err error }

func (e *classedError) Error() string   { return e.err.Error() }
func (e *classedError) Unwrap() []error { return []error{e.class, e.err} }

func failf(class error, format string, args ...any) error {
	return &classedError{class, fmt.Errorf(format, args...)}
}
