package replication

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/embeddedpg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func lsn(n uint64) decoder.LSN { return decoder.LSN(n) }

// tcpPair is a real connection: SO_RCVLOWAT is the kernel's.
func tcpPair(t *testing.T) (*link, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := listener.Accept()
		accepted <- conn
	}()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server := <-accepted
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	l := newLink(client)
	l.streaming = true
	l.deadline = time.Now().Add(10 * time.Second)
	return l, server
}

// Whatever the pieces and pauses in which bytes come, a backlog among them, all are read, each once and in order.
func TestLinkReadsWhatWasSent(t *testing.T) {
	l, server := tcpPair(t)
	rng := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 8<<20)
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	sent := make(chan error, 1)
	go func() {
		rng := rand.New(rand.NewPCG(3, 4))
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(700))
			if rng.IntN(4_000) == 0 {
				time.Sleep(3 * time.Millisecond) // the backlog is over, for a while
			}
			if _, err := server.Write(rest[:n]); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		sent <- server.Close()
	}()
	got, backlog := make([]byte, 0, len(want)), false
	for p := make([]byte, 9_000); ; {
		n, err := l.Read(p[:1+rng.IntN(len(p))])
		got = append(got, p[:n]...)
		backlog = backlog || l.backlog
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes were read, %d sent, and they are not the same", len(got), len(want))
	}
	if l.waiter != nil && !backlog {
		t.Error("no backlog was noticed while 8 MiB came as quickly as they could")
	}
}

func TestLinkWaitsNoLongerThanItsDeadline(t *testing.T) {
	for _, backlog := range []bool{false, true} {
		l, server := tcpPair(t)
		l.backlog = backlog && l.waiter != nil
		l.deadline = time.Now().Add(20 * time.Millisecond)
		if _, err := l.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("backlog %t: Read returned %v, want the deadline's error", backlog, err)
		}
		// What comes afterwards is not lost, nor made to wait for more.
		if _, err := server.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		l.deadline = time.Now().Add(10 * time.Second)
		if n, err := l.Read(make([]byte, 10)); n != 1 || err != nil {
			t.Errorf("backlog %t: Read returned %d, %v", backlog, n, err)
		}
	}
}

func TestLinkCanBeInterrupted(t *testing.T) {
	l, _ := tcpPair(t)
	for range 200 { // before, while and after Read begins to wait
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.interrupt()
		}()
		if _, err := l.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Read returned %v, want a deadline's error", err)
		}
		<-done
		l.interrupted.Store(false)
	}
}
