package sink

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"slices"
	"syscall"
)

// Reasons are all the words that Reason returns for an error.
var Reasons = []string{"canceled", "timeout", "closed", "no_space", "permission", "not_found", "io", "rejected", "other"}

// Reason classifies an error of Open or Write for a metric's label: it returns one of Reasons, and "" for nil.
func Reason(err error) string {
	var (
		netErr   net.Error
		rejected *RejectedError
	)
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return ""
	case errors.As(err, &rejected):
		return "rejected"
	case is(context.Canceled):
		return "canceled"
	case is(context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	case is(ErrClosed), is(fs.ErrClosed), is(net.ErrClosed), is(io.ErrClosedPipe), slices.ContainsFunc(gone, is):
		return "closed"
	case slices.ContainsFunc(noSpace, is):
		return "no_space"
	case is(fs.ErrPermission), is(syscall.EROFS):
		return "permission"
	case is(fs.ErrNotExist), is(syscall.ENOTDIR):
		return "not_found"
	case slices.ContainsFunc(broken, is):
		return "io"
	}
	return "other"
}
