//go:build unix

package sink

import "golang.org/x/sys/unix"

var (
	gone = []error{unix.EPIPE, unix.ECONNRESET}
	// EFBIG is a process's file size limit (ulimit -f), EDQUOT a user's quota: room that somebody must grant.
	noSpace = []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG}
	// ESTALE is a network file system that lost the file, ENXIO and ENODEV a device that was pulled out.
	broken = []error{unix.EIO, unix.ESTALE, unix.ENXIO, unix.ENODEV}
)
