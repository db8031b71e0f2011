package sink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestReason(t *testing.T) {
	_, missing := os.Open(filepath.Join(t.TempDir(), "missing"))
	closed, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, writeClosed := closed.WriteString("x")

	tests := []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"canceled", context.Canceled, "canceled"},
		{"deadline", context.DeadlineExceeded, "timeout"},
		{"file deadline", os.ErrDeadlineExceeded, "timeout"},
		{"network timeout", &net.OpError{Op: "write", Err: &net.DNSError{IsTimeout: true}}, "timeout"},
		{"reader left", ErrClosed, "closed"},
		{"broken pipe", &fs.PathError{Op: "write", Err: gone[0]}, "closed"},
		{"closed file", writeClosed, "closed"},
		{"full disk", &fs.PathError{Op: "write", Err: noSpace[0]}, "no_space"},
		{"permission", fs.ErrPermission, "permission"},
		{"read-only", syscall.EROFS, "permission"},
		{"missing", missing, "not_found"},
		{"no directory", syscall.ENOTDIR, "not_found"},
		{"broken disk", broken[0], "io"},
		{"unknown", errors.New("no idea"), "other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Reason(tt.err); got != tt.want {
				t.Errorf("Reason(%v) = %q, want %q", tt.err, got, tt.want)
			}
			if tt.err == nil {
				return
			}
			if !slices.Contains(Reasons, tt.want) {
				t.Errorf("%q is not one of Reasons", tt.want)
			}
			if got := Reason(fmt.Errorf("wrapped: %w", tt.err)); got != tt.want {
				t.Errorf("wrapped, it is %q, want %q", got, tt.want)
			}
		})
	}
}
