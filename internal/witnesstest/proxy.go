package witnesstest

import (
	"net"
	"sync"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
)

// Proxy is a TCP proxy in front of a server that does to its connections what networks do. Its methods may be called from
// any goroutine.
type Proxy struct {
	address string
	loops   sync.WaitGroup

	mu       sync.Mutex
	target   string             // the server's address; guarded by mu
	listener net.Listener       // nil while Refuse lasts; guarded by mu
	flows    map[*flow]struct{} // guarded by mu
	stalled  chan struct{}      // closed by Heal, nil without a black hole; guarded by mu
	delay    time.Duration      // of each read; guarded by mu
	cutAfter int                // bytes from the server until all is reset, -1 for never; guarded by mu
	closed   bool               // guarded by mu
}

// flow is one connection through the proxy.
type flow struct {
	client, server net.Conn
	once           sync.Once
	done           chan struct{} // closed when it has ended
}

// NewProxy returns a Proxy for server that lasts until the end of the test.
func NewProxy(tb testing.TB, server *embeddedpg.Server) *Proxy {
	tb.Helper()
	p := &Proxy{target: serverAddress(server), flows: map[*flow]struct{}{}, cutAfter: -1}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p.address = listener.Addr().String()
	p.listen(listener)
	tb.Cleanup(p.close)
	return p
}

// Retarget has new connections go to another server, as a virtual address does after a failover.
func (p *Proxy) Retarget(server *embeddedpg.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = serverAddress(server)
}

// Reset ends every connection with a TCP reset.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for f := range p.flows {
		f.end(true)
	}
}

// BlackHole stops forwarding, in both directions and for new connections too, and keeps the sockets open.
func (p *Proxy) BlackHole() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Delay holds back whatever is read for that long.
func (p *Proxy) Delay(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// Truncate forwards that many more bytes from the server, wherever in a message that is, and then resets the connection.
func (p *Proxy) Truncate(after int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAfter = after
}

// Refuse turns new connections away, and leaves those that there are.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// Heal ends BlackHole, Delay, Truncate and Refuse.
func (p *Proxy) Heal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
	p.delay, p.cutAfter = 0, -1
	if p.listener == nil && !p.closed {
		listener, err := net.Listen("tcp", p.address)
		if err != nil {
			return err
		}
		p.listen(listener)
	}
	return nil
}

func (p *Proxy) close() {
	p.Refuse()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.Heal() // fails only when it has to listen again
	p.Reset()
	p.loops.Wait()
}

// listen is called with mu held, or before anybody else knows p.
func (p *Proxy) listen(listener net.Listener) {
	p.listener = listener
	p.loops.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.loops.Go(func() { p.forward(client) })
		}
	})
}

func (p *Proxy) forward(client net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		_ = client.Close()
		return
	}
	f := &flow{client: client, server: server, done: make(chan struct{})}
	p.mu.Lock()
	if p.closed {
		f.end(true)
	}
	p.flows[f] = struct{}{}
	p.mu.Unlock()
	p.loops.Go(func() { p.copy(f, server, client, false) })
	p.copy(f, client, server, true) // ends with f
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.flows, f)
}

func (p *Proxy) copy(f *flow, to, from net.Conn, fromServer bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			f.end(false)
			return
		}
		pass := p.pass(f, n, fromServer)
		if _, err := to.Write(buf[:pass]); err != nil || pass < n {
			f.end(pass < n)
			return
		}
	}
}

// pass waits as long as n bytes are held back, and returns how many of them go on.
func (p *Proxy) pass(f *flow, n int, fromServer bool) int {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.done:
		}
	}
	for {
		p.mu.Lock()
		stalled := p.stalled
		if stalled == nil {
			defer p.mu.Unlock()
			if fromServer && p.cutAfter >= 0 {
				n = min(n, p.cutAfter)
				p.cutAfter -= n
			}
			return n
		}
		p.mu.Unlock()
		select {
		case <-stalled:
		case <-f.done:
			return 0
		}
	}
}

// end closes both sides, once; with a reset if that is asked for.
func (f *flow) end(reset bool) {
	f.once.Do(func() {
		for _, conn := range []net.Conn{f.client, f.server} {
			if reset {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			_ = conn.Close()
		}
		close(f.done)
	})
}
