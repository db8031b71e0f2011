package replication

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
)

func TestClassify(t *testing.T) {
	server := func(code string) error {
		return fmt.Errorf("connect: %w", &pgconn.PgError{Code: code, Message: "said the server"})
	}
	previous := &Mark{Confirmed: 0x100}
	tests := []struct {
		name      string
		err       error
		previous  *Mark
		connected bool
		class     error // nil: tried again
		reason    string
	}{
		{name: "wrong password at the start", err: server("28P01"), class: ErrConfig},
		{name: "wrong password later", err: server("28P01"), connected: true, reason: "auth"},
		{name: "no such database", err: server("3D000"), class: ErrConfig},
		{name: "no replication role", err: server("42501"), class: ErrSetup},
		{name: "standby", err: server("0A000"), class: ErrSetup},
		{name: "publication missing at first", err: server("42704"), class: ErrSetup},
		{name: "publication missing after use", err: server("42704"), previous: previous, class: ErrEvidence},
		{name: "slot invalidated", err: server("55000"), class: ErrEvidence},
		{name: "stopped while a standby was awaited", err: &pgconn.PgError{Code: "55000", Routine: "StandbySlotsHaveCaughtup"}, reason: "shutdown"},
		{name: "stopped while a standby without a slot was awaited", err: &pgconn.PgError{Code: "42704", Routine: "StandbySlotsHaveCaughtup"},
			previous: previous, reason: "shutdown"},
		{name: "WAL removed", err: server("58P01"), class: ErrEvidence},
		{name: "slot busy", err: server("55006"), reason: "slot_busy"},
		{name: "server stopped", err: server("57P01"), reason: "shutdown"},
		{name: "server starting", err: server("57P03"), reason: "starting"},
		{name: "too many connections", err: server("53300"), reason: "other"},
		{name: "undecodable row", err: &decoder.Error{Message: "INSERT", Reason: "cut off"}, class: ErrEvidence},
		{name: "certificate at the start", err: fmt.Errorf("tls: %w", x509.UnknownAuthorityError{}), class: ErrConfig},
		{name: "certificate later", err: fmt.Errorf("tls: %w", x509.UnknownAuthorityError{}), connected: true, reason: "other"},
		{name: "refused", err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, reason: "refused"},
		{name: "reset", err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}, reason: "closed"},
		{name: "end of stream", err: io.ErrUnexpectedEOF, reason: "closed"},
		{name: "name not found", err: &net.DNSError{Err: "no such host"}, reason: "dns"},
		{name: "deadline", err: context.DeadlineExceeded, reason: "timeout"},
		{name: "silence", err: fmt.Errorf("%w: 60s", errSilent), reason: "silent"},
		{name: "slot about to be lost", err: errEndangered, reason: "slot_endangered"},
		{name: "let go", err: errStopping, reason: "shutdown"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewStream(Config{Slot: "pgwitness"})
			s.previous, s.connected, s.worked = test.previous, test.connected, test.connected
			err := s.classify(test.err)
			if again := s.classify(err); again.Error() != err.Error() {
				t.Errorf("classified again: %v", again)
			}
			if test.class != nil {
				if !errors.Is(err, test.class) || !fatal(err) {
					t.Errorf("classify: %v, want the class %v", err, test.class)
				}
				if !errors.Is(err, test.err) && !strings.Contains(err.Error(), test.err.Error()) {
					t.Errorf("classify: %v has lost its cause, %v", err, test.err)
				}
				return
			}
			if fatal(err) {
				t.Fatalf("classify: %v ends the stream, and may heal", err)
			}
			if got := reason(err); got != test.reason || !slices.Contains(Reasons, got) {
				t.Errorf("reason: %q, want %q", got, test.reason)
			}
		})
	}
}

func TestEvidenceErrorSaysFromWhere(t *testing.T) {
	s := NewStream(Config{Slot: "pgwitness"})
	s.Confirm(0x16B3748)
	err := s.classify(&pgconn.PgError{Code: "55000", Message: "can no longer get changes"})
	if !strings.Contains(err.Error(), "0/16B3748") {
		t.Errorf("%v does not name the last confirmed position", err)
	}
}
