//go:build unix

package stdout

import (
	"context"
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// pipeBuf is how many bytes a pipe takes without blocking once poll calls it writable: PIPE_BUF.
func pipeBuf() int {
	if runtime.GOOS == "linux" {
		return 4096
	}
	return 512 // what POSIX promises, and what darwin has
}

// pollTick is how often, in milliseconds, a Write that waits for a stuck reader looks at its context.
const pollTick = 50

// waitWritable returns when file can be written to, or has failed, or ctx is done. A write to a pipe that is full cannot
// be called off, and making standard output non-blocking would do so for every process that shares it.
func waitWritable(ctx context.Context, file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var ready int
		var pollErr error
		err := conn.Control(func(fd uintptr) {
			ready, pollErr = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, pollTick)
		})
		switch {
		case err != nil:
			return err
		case ready > 0:
			return nil
		case pollErr != nil && !errors.Is(pollErr, unix.EINTR):
			return os.NewSyscallError("poll", pollErr)
		}
	}
}
