//go:build chromium

package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/witnesstest"
)

func TestMain(m *testing.M) { witnesstest.Main(m) }

// soon is how long anything may take that takes a moment on a quiet machine.
const soon = 30 * time.Second

// site is a real pgwitness on a database of its own, with one file sink, whose directory can be taken away.
type site struct {
	*witnesstest.Database
	url     string
	dir     string // of the sink's file
	config  witnesstest.Config
	process *witnesstest.Process
}

// newSite starts a server and a pgwitness that follows it and serves at a port of its own. The directory's name is part of what
// the sink's errors say.
func newSite(t *testing.T, directory string, environ ...string) *site {
	t.Helper()
	server := pgtest.Start(t, embeddedpg.Config{Settings: map[string]string{"max_slot_wal_keep_size": "1GB"}})
	s := &site{Database: witnesstest.NewDatabase(t, server)}
	s.config = s.Config(t)
	s.dir = filepath.Join(s.config.Dir, directory)
	if err := os.Mkdir(s.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	s.url = "http://" + address + "/"
	s.config.Sinks = "[{type: file, name: archive, path: " + strconv.Quote(filepath.Join(s.dir, "audit.jsonl")) + "}]"
	s.config.Environ = append([]string{"PGWITNESS_HTTP_LISTEN=" + address}, environ...)
	s.start(t)
	return s
}

func (s *site) start(t *testing.T) {
	t.Helper()
	s.process = witnesstest.Run(t, s.config)
	s.process.AwaitLog(t, "serving /metrics", soon)
}

// breakSink takes the directory away from below the sink, mendSink brings it back.
func (s *site) breakSink(t *testing.T) { t.Helper(); rename(t, s.dir, s.dir+".away") }
func (s *site) mendSink(t *testing.T)  { t.Helper(); rename(t, s.dir+".away", s.dir) }

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// insert writes n audited rows in one transaction.
func (s *site) insert(t *testing.T, n int) {
	t.Helper()
	s.Exec(t, fmt.Sprintf("INSERT INTO your_table (column_name) SELECT 'row ' || n FROM generate_series(1, %d) n", n))
}

// freeAddress is of a port that was free a moment ago: the page has to find the next process at the address of the one before.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// tab is a page open in a headless Chromium. What the browser complains of and whom it asks is looked at when the test ends.
type tab struct {
	ctx    context.Context
	t      *testing.T
	killed bool // whether the test kills what answers

	mu         sync.Mutex
	complaints []string // guarded by mu
	requests   []string // guarded by mu
}

// open opens address in a window of 1280 by 900 CSS pixels, and waits for the first answer.
func open(t *testing.T, address string) *tab {
	t.Helper()
	own, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	// Chromium leaves directories behind.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Env("TMPDIR="+t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to have one as root
	}
	allocator, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(end)
	ctx, _ := chromedp.NewContext(allocator) // canceled by Cancel
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("closing the browser: %v", err)
		}
	})
	page := &tab{ctx: ctx, t: t}
	if err := chromedp.Listen(ctx, page.hear); err != nil {
		t.Fatal(err)
	}
	call(page, log.Enable, cdp.Empty{})
	call(page, network.Enable, network.EnableParams{})
	page.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	page.await(`document.body.dataset.state === "live"`, soon)
	t.Cleanup(func() { page.checkConduct(own) })
	return page
}

// hear is told of all that happens in the tab, by chromedp.
func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		details, _ := json.Marshal(e.ExceptionDetails)
		p.complaints = append(p.complaints, fmt.Sprintf("exception: %s", details))
	case *runtime.EventConsoleAPICalled:
		arguments, _ := json.Marshal(e.Args)
		p.complaints = append(p.complaints, fmt.Sprintf("console.%s %s", e.Type, arguments))
	case *log.EventEntryAdded:
		p.complaints = append(p.complaints, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	}
}

// unreachable is what the browser complains of while nobody answers.
var unreachable = regexp.MustCompile(`net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING)`)

// checkConduct fails the test if something was written to the console, or somebody else was asked for something.
func (p *tab) checkConduct(own *url.URL) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, complaint := range p.complaints {
		if !p.killed || !unreachable.MatchString(complaint) {
			p.t.Errorf("the browser complains: %s", complaint)
		}
	}
	for _, request := range p.requests {
		if asked, err := url.Parse(request); err != nil || asked.Scheme+asked.Host != own.Scheme+own.Host {
			p.t.Errorf("asked for %s, which is not of %s", request, own.Host)
		}
	}
}

// asked counts the requests whose address holds text.
func (p *tab) asked(text string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, request := range p.requests {
		if strings.Contains(request, text) {
			n++
		}
	}
	return n
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func call[P, R any](p *tab, command cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, command, params); err != nil {
		p.t.Fatal(err)
	}
}

// eval returns what a JavaScript expression gives, or what its promise does.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	result, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return result
}

// await waits until a JavaScript condition holds, and returns how long that took. It asks from outside: chromedp.Poll would
// compile the condition inside the page, which the page's policy forbids.
func (p *tab) await(condition string, limit time.Duration) time.Duration {
	p.t.Helper()
	began := time.Now()
	if !witnesstest.Poll(limit, func() bool { return eval[bool](p, condition) }) {
		p.t.Fatalf("not within %v: %s; the page says:\n%s", limit, condition, eval[string](p, `document.body.innerText`))
	}
	return time.Since(began)
}

// text is what an element says.
func text(selector string) string {
	return fmt.Sprintf(`document.querySelector(%q).textContent`, selector)
}
