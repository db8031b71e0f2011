package main

import (
	"errors"
	"strings"
	"unicode"

	"pgwitness/internal/config"
	"pgwitness/internal/replication"
	"pgwitness/internal/web"
	"pgwitness/internal/webclient"
	"pgwitness/sink"
)

// The exit codes scripts rely on. A second signal leaves at once with 128 and the signal's number: 130 for SIGINT, 143
// for SIGTERM.
const (
	exitDone        = 0 // done, or asked to stop
	exitFailed      = 1 // failed; a restart may help
	exitUsage       = 2 // usage or configuration
	exitSetup       = 3 // the database is not set up for us
	exitEvidence    = 4 // evidence was or may have been lost
	exitDifferences = 5 // a check found differences, or problems
)

// exitError gives an error an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// errTold stands for an error that another process of ours has told already.
var errTold = errors.New("told already")

// withCode returns err with the exit code that it ends the process with, and nil for nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// classes are the exit codes of the packages' classes of errors. Evidence comes first: an error that is of two classes
// ends with the graver code.
var classes = []struct {
	class error
	code  int
}{
	{replication.ErrEvidence, exitEvidence},
	{sink.ErrForeign, exitEvidence},
	{replication.ErrSetup, exitSetup},
	{replication.ErrConfig, exitUsage},
	{config.ErrInvalid, exitUsage},
	{sink.ErrConfig, exitUsage},
	{web.ErrListen, exitUsage},
	{webclient.ErrConfig, exitUsage},
	{sink.ErrClosed, exitFailed},
}

// exitCode returns the code that err ends the process with.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if coded, ok := errors.AsType[*exitError](err); ok {
		return coded.code
	}
	for _, c := range classes {
		if errors.Is(err, c.class) {
			return c.code
		}
	}
	return exitFailed
}

// oneLine folds text into a line: joined errors and pgconn's lists of hosts have line breaks, a server's message may hold
// anything, a terminal's escape sequences included.
func oneLine(text string) string {
	var folded strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line))
		switch {
		case line == "":
			continue
		case folded.Len() == 0:
		case strings.HasSuffix(folded.String(), ":"):
			folded.WriteByte(' ')
		default:
			folded.WriteString("; ")
		}
		folded.WriteString(line)
	}
	return folded.String()
}
