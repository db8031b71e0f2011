package replication

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

type tcpReader struct{ raw syscall.RawConn }

func newLowWaterReader(conn net.Conn) lowWaterReader {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil // a Unix socket, or a test's pipe
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return tcpReader{raw}
}

func (t tcpReader) setLowWater(bytes int) {
	// Without it reading is dearer and as right.
	_ = t.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
	})
}

// read takes what is there; is that less than the low-water mark, it waits for more (once: the poller says when the mark
// is reached) and takes that too.
func (t tcpReader) read(p []byte) (int, error) {
	n, waited := 0, false
	var failed error
	take := func(fd uintptr) bool {
		got, err := unix.Read(int(fd), p[n:])
		switch {
		case got > 0:
			n += got
		case got == 0 && err == nil:
			failed = io.EOF
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			failed = os.NewSyscallError("read", err)
		}
		enough := waited || failed != nil || n >= lowWater
		waited = true
		return enough
	}
	err := t.raw.Read(take)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		waited = true
		err = t.raw.Control(func(fd uintptr) { take(fd) })
	}
	if n > 0 {
		return n, nil // the end of the stream, or its failure, will be met again
	}
	return 0, errors.Join(err, failed)
}
