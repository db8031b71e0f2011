package embeddedpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// RepositoryEnv names the environment variable that overrides the Maven repository the archives come from.
const RepositoryEnv = "PGWITNESS_POSTGRES_REPOSITORY"

const (
	checksumSuffix = ".sha256"
	fetchStall     = time.Minute
)

// repository is a reverse proxy on 127.0.0.1 in front of the Maven repository. The library has no hook for progress,
// takes no context, sets no timeout, drops the cause of a failure and accepts an archive whose checksum cannot be
// fetched; all of that is made good here.
type repository struct {
	upstream *url.URL
	stall    time.Duration
	progress func(received, total int64)
	server   *http.Server
	listener net.Listener
	cancel   context.CancelCauseFunc
	idle     *time.Timer
	served   sync.WaitGroup

	mu  sync.Mutex
	err error // the first failure; guarded by mu
}

// openRepository starts the proxy. It ends by Close, and gives up every request when ctx ends or when nothing has been
// received for as long as stall.
func openRepository(ctx context.Context, stall time.Duration, progress func(received, total int64)) (*repository, error) {
	address := os.Getenv(RepositoryEnv)
	if address == "" {
		// The library's own, which it keeps to itself; a copy here would not follow it when it moves.
		address = reflect.ValueOf(embeddedpostgres.DefaultConfig()).FieldByName("binaryRepositoryURL").String()
	}
	upstream, err := url.Parse(address)
	if err != nil || upstream.Host == "" {
		// The parser's own error would repeat the address, which may hold a password.
		return nil, fmt.Errorf("%s is not the URL of a Maven repository", RepositoryEnv)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the fetch of PostgreSQL: %w", err)
	}

	ctx, cancel := context.WithCancelCause(ctx)
	r := &repository{
		upstream: upstream,
		stall:    stall,
		progress: progress,
		listener: listener,
		cancel:   cancel,
		idle: time.AfterFunc(stall, func() {
			cancel(fmt.Errorf("nothing was received for %v", stall))
		}),
	}
	r.server = &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite:        r.rewrite,
			ModifyResponse: r.check,
			ErrorHandler:   r.refuse,
			ErrorLog:       log.New(io.Discard, "", 0),
		},
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: stall,
	}
	r.served.Go(func() { _ = r.server.Serve(listener) })
	return r, nil
}

// URL is what the library takes for the repository.
func (r *repository) URL() string {
	return "http://" + r.listener.Addr().String()
}

// Close ends the proxy and whatever it is fetching.
func (r *repository) Close() {
	r.cancel(net.ErrClosed)
	r.idle.Stop()
	r.server.Close()
	r.served.Wait()
}

// Err returns the first failure of a fetch, nil when there was none.
func (r *repository) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *repository) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (r *repository) rewrite(pr *httputil.ProxyRequest) {
	pr.SetURL(r.upstream)
	if user := r.upstream.User; user != nil {
		password, _ := user.Password()
		pr.Out.SetBasicAuth(user.Username(), password)
	}
	// A compressed answer would hide the length that progress is measured by.
	pr.Out.Header.Set("Accept-Encoding", "identity")
}

func (r *repository) check(resp *http.Response) error {
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("GET %s: %s", resp.Request.URL.Redacted(), resp.Status)
	}
	resp.Body = &meteredBody{ReadCloser: resp.Body, repository: r, ctx: resp.Request.Context(),
		total: resp.ContentLength, silent: strings.HasSuffix(resp.Request.URL.Path, checksumSuffix)}
	return nil
}

func (r *repository) refuse(w http.ResponseWriter, req *http.Request, err error) {
	if cause := context.Cause(req.Context()); cause != nil && errors.Is(err, context.Canceled) {
		err = cause
	}
	r.fail(err)
	if strings.HasSuffix(req.URL.Path, checksumSuffix) {
		// The library takes an archive without a checksum for good. With a wrong one it refuses it.
		_, _ = io.WriteString(w, "unavailable")
		return
	}
	w.WriteHeader(http.StatusBadGateway)
}

// meteredBody reports how much of a response has been read.
type meteredBody struct {
	io.ReadCloser
	repository *repository
	ctx        context.Context
	received   int64
	total      int64
	silent     bool // the checksum beside an archive is no progress
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.received += int64(n)
	b.repository.idle.Reset(b.repository.stall)
	if !b.silent && n > 0 {
		b.repository.progress(b.received, b.total)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
		b.repository.fail(fmt.Errorf("after %d bytes: %w", b.received, err))
	}
	return n, err
}
