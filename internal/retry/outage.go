package retry

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"
)

// TellEvery is the shortest time between two lines of the log about the same failure.
const TellEvery = time.Minute

// Outage tells a log of something that fails, is tried again and works again: of each kind of failure at once, of the same
// kind again after TellEvery at the earliest, with how often it came since, and of the end. What flaps within that time is one
// line, not two for each turn. It is not safe for concurrent use.
type Outage struct {
	log   *slog.Logger
	kinds map[string]*telling
	since time.Time // of the first failure that no success has ended; zero while there is none
	told  bool      // the log says that it fails
}

// telling is what the log knows of one kind of failure.
type telling struct {
	at     time.Time // of the last line
	untold int       // how often it came since
}

// NewOutage returns an Outage that has nothing to tell yet.
func NewOutage(log *slog.Logger) *Outage { return &Outage{log: log, kinds: make(map[string]*telling)} }

// Failed takes note of a failure, and tells of it if it is due. Failures of one kind, a word out of a small set, are the same
// to a reader, whatever differs in the texts of their errors. args are as those of slog's.
func (o *Outage) Failed(level slog.Level, kind, message string, args ...any) {
	now := time.Now()
	if o.since.IsZero() {
		o.since = now
	}
	known := o.kinds[kind]
	if known == nil {
		known = new(telling)
		o.kinds[kind] = known
	} else if now.Sub(known.at) < TellEvery {
		known.untold++
		return
	}
	if known.untold > 0 {
		args = append(args, "repeated", known.untold)
	}
	o.log.Log(context.Background(), level, message, args...)
	known.at, known.untold, o.told = now, 0, true
}

// Writer returns what a log.Logger may write to whose lines are failures of one kind with one message: those of a library that
// can be given no other log. Use it with one log.Logger, which writes one line at a time.
func (o *Outage) Writer(level slog.Level, message string) io.Writer {
	return lineWriter(func(line string) { o.Failed(level, message, message, "error", line) })
}

type lineWriter func(line string)

func (w lineWriter) Write(line []byte) (int, error) {
	w(strings.TrimSpace(string(line)))
	return len(line), nil
}

// Over takes note that it works. If the log says that it does not, it tells so, with how long that was, and returns true.
func (o *Outage) Over(message string, args ...any) (told bool) {
	if told = o.told; told {
		o.log.Info(message, append(args, "after", time.Since(o.since).Round(time.Millisecond).String())...)
	}
	o.since, o.told = time.Time{}, false
	return told
}
