package replication

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
)

// These classes end the stream. Every other error is one that may heal, and the stream connects again.
var (
	// ErrConfig is a DSN, a credential or a TLS setting that cannot work (exit code 2).
	ErrConfig = errors.New("configuration")
	// ErrSetup is a database that is not set up for pgwitness (exit code 3).
	ErrSetup = errors.New("set-up")
	// ErrEvidence is evidence that was lost, or may have been (exit code 4).
	ErrEvidence = errors.New("evidence")
	// ErrStale is a Stream whose knowledge of positions has been overtaken: another consumer has gone on with the slot while
	// the connection was away, or the server is on another timeline. A new Stream, told what is remembered now, finds out
	// what that means.
	ErrStale = errors.New("overtaken")
)

// classed gives an error its class without adding the class's own word to the text.
type classed struct {
	class error
	text  string
	cause error
}

func (e *classed) Error() string   { return e.text }
func (e *classed) Unwrap() []error { return []error{e.class, e.cause} }

// failf makes an error of a class. A %w among the arguments keeps its cause.
func failf(class error, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &classed{class: class, text: err.Error(), cause: errors.Unwrap(err)}
}

// errUnpublished is a publication that does not exist where the slot stands.
var errUnpublished = errors.New("rows are left out")

// Errors by which a session ends that may heal.
var (
	errSilent     = errors.New("the server has been silent for too long")
	errStopping   = errors.New("the server is shutting down")
	errCopyDone   = errors.New("the server ended the stream")
	errEndangered = errors.New("the sinks do not keep up and the slot is about to be lost: the server is not held up")
	errBusy       = errors.New("another consumer streams from the slot")
	errHeld       = errors.New("the server has not noticed yet that the last connection to the slot is gone")
	errInRecovery = errors.New("the server is a standby, as in the course of a failover")
	errNoRow      = errors.New("the server gave no row")
)

// SQLSTATE codes that decide what happens next.
const (
	codeInvalidPassword     = "28P01"
	codeInvalidAuth         = "28000"
	codeNoDatabase          = "3D000"
	codeInsufficientRights  = "42501"
	codeInvalidValue        = "22023"
	codeUndefinedObject     = "42704"
	codeNotInState          = "55000"
	codeObjectInUse         = "55006"
	codeLockNotAvailable    = "55P03"
	codeUndefinedFile       = "58P01"
	codeFeatureNotSupported = "0A000"
	codeAdminShutdown       = "57P01"
	codeCrashShutdown       = "57P02"
	codeCannotConnectNow    = "57P03"
)

// standbyWait is the function in the server that complains of a standby which is named in synchronized_standby_slots and is
// not there: with a warning while the server runs, and with an error when it stops. The SQLSTATEs are those of much worse.
const standbyWait = "StandbySlotsHaveCaughtup"

// classify gives err its class, if it has none yet. What worked once and does not now may be a rotation of credentials in
// progress, and is tried again.
func (s *Stream) classify(err error) error {
	if fatal(err) {
		return err
	}
	if _, ok := errors.AsType[*decoder.Error](err); ok {
		return failf(ErrEvidence, "slot %s sent what cannot be decoded: %w; nothing at or after it was confirmed: "+
			"report it with this line, and keep the slot", s.cfg.Slot, err)
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return s.classifyServer(err, pgErr)
	}
	if errors.Is(err, errUnpublished) {
		return s.unpublished(err)
	}
	if s.worked {
		return err
	}
	var (
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &hostname), errors.As(err, &authority), errors.As(err, &invalid), errors.As(err, &verify):
		return failf(ErrConfig, "%w; check sslmode and sslrootcert of source.dsn", err)
	case strings.Contains(err.Error(), "require_auth check failed"), strings.Contains(err.Error(), "channel binding check failed"):
		return failf(ErrConfig, "%w; change require_auth or channel_binding of source.dsn, or how pg_hba.conf has the server authenticate", err)
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return failf(ErrConfig, "%w; the server has no TLS: change sslmode of source.dsn, or enable ssl on the server", err)
	}
	return err
}

func (s *Stream) classifyServer(err error, pgErr *pgconn.PgError) error {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok { // then these codes have nothing to do with slot and publication
		switch {
		case pgErr.Code != codeUndefinedObject && pgErr.Code != codeInvalidValue && pgErr.Code != codeNotInState:
		case s.worked:
			return err
		case pgErr.Code == codeNotInState:
			return failf(ErrSetup, "%w; let the database accept connections (ALTER DATABASE … ALLOW_CONNECTIONS true), or name "+
				"another one in source.dsn", err)
		default:
			return failf(ErrConfig, "%w; check the keywords of source.dsn and PGOPTIONS: one that libpq does not know is taken for a "+
				"setting of the server", err)
		}
	}
	if pgErr.Routine == standbyWait {
		return err
	}
	switch pgErr.Code {
	case codeInvalidPassword, codeInvalidAuth, codeNoDatabase:
		if s.worked {
			return err
		}
		return failf(ErrConfig, "%w; check the user, the password, the database of source.dsn, and pg_hba.conf", err)
	case codeInsufficientRights:
		return failf(ErrSetup, "%w; the role needs LOGIN REPLICATION, and CONNECT on the database: see `pgwitness init`", err)
	case codeFeatureNotSupported:
		return failf(ErrSetup, "%w; connect to a primary server", err)
	case codeUndefinedObject:
		return s.unpublished(err)
	case codeNotInState, codeUndefinedFile:
		return failf(ErrEvidence, "slot %s: %w; rows after %s may have been lost", s.cfg.Slot, err, s.lastConfirmed())
	}
	return err
}

// unpublished classes err, by which the server told that the slot does not know the publication. That a stream has begun does
// not say that it ever did: START_REPLICATION does not look.
func (s *Stream) unpublished(err error) error {
	if s.previous != nil || s.Confirmed() > s.mark.Confirmed {
		return failf(ErrEvidence, "%w; it was dropped, or is younger than the slot: rows may have been lost since %s; drop the slot, "+
			"run `pgwitness init --apply`, and take what is missing from the table", err, s.lastConfirmed())
	}
	return failf(ErrSetup, "%w; the publication must be older than the slot: drop the slot and run `pgwitness init --apply`", err)
}

// fatal says whether err ends the stream.
func fatal(err error) bool {
	return errors.Is(err, ErrConfig) || errors.Is(err, ErrSetup) || errors.Is(err, ErrEvidence) || errors.Is(err, ErrStale)
}

// ReasonSlotBusy is the word for a slot from which another consumer streams.
const ReasonSlotBusy = "slot_busy"

// Reasons are all the words that Observer.Reconnect is called with.
var Reasons = []string{"shutdown", "starting", ReasonSlotBusy, "slot_held", "slot_endangered", "in_recovery", "silent", "refused", "dns", "timeout", "auth", "closed", "other"}

// reason is the word for err.
func reason(err error) string {
	var (
		pgErr  *pgconn.PgError
		dnsErr *net.DNSError
		netErr net.Error
	)
	switch {
	case errors.Is(err, errStopping), errors.Is(err, errCopyDone):
		return "shutdown"
	case errors.Is(err, errSilent):
		return "silent"
	case errors.Is(err, errEndangered):
		return "slot_endangered"
	case errors.Is(err, errHeld):
		return "slot_held"
	case errors.Is(err, errInRecovery):
		return "in_recovery"
	case errors.Is(err, errBusy):
		return ReasonSlotBusy
	case errors.As(err, &pgErr) && pgErr.Routine == standbyWait:
		return "shutdown"
	case errors.As(err, &pgErr):
		switch pgErr.Code {
		case codeAdminShutdown, codeCrashShutdown:
			return "shutdown"
		case codeCannotConnectNow:
			return "starting"
		case codeObjectInUse:
			return ReasonSlotBusy
		case codeInvalidPassword, codeInvalidAuth, codeNoDatabase:
			return "auth"
		}
		return "other"
	case errors.As(err, &dnsErr):
		return "dns"
	case isRefused(err):
		return "refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	case isClosed(err):
		return "closed"
	}
	return "other"
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}
