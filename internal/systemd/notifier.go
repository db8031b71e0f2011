// Package systemd tells systemd, where that started the process, what the process is doing: that it is ready, what state it
// is in, that it is alive, and that it stops.
package systemd

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"pgwitness/internal/retry"
)

// Config says what systemd is told.
type Config struct {
	// State says in a line what the process is doing; `systemctl status` shows it. It has no default.
	State func() string
	// Healthy says why the watchdog shall not be told that the process is alive, or nil. Defaults to nil: it always is.
	Healthy func() error
	// Interval is the time between two looks at State and Healthy; where the unit's WatchdogSec is short it is a third of that.
	// Defaults to 1 s.
	Interval time.Duration
	// Logger gets what goes wrong. Defaults to slog.Default().
	Logger *slog.Logger
}

// Notifier speaks to the socket that NOTIFY_SOCKET names. Without one, it says nothing.
type Notifier struct {
	state    func() string
	healthy  func() error
	interval time.Duration
	watched  bool // the unit has a watchdog
	log      *slog.Logger

	told   string        // the state that systemd was told last; owned by Run
	outage *retry.Outage // of the progress; owned by Run
	failed bool          // the socket has refused something; owned by Run
}

// New returns a Notifier that has said nothing yet. It fails on a WATCHDOG_USEC that is no number.
func New(cfg Config) (*Notifier, error) {
	n := &Notifier{state: cfg.State, healthy: cfg.Healthy, interval: cfg.Interval, log: cfg.Logger}
	if n.healthy == nil {
		n.healthy = func() error { return nil }
	}
	if n.interval <= 0 {
		n.interval = time.Second
	}
	if n.log == nil {
		n.log = slog.Default()
	}
	n.outage = retry.NewOutage(n.log)
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return nil, err
	}
	if limit > 0 {
		n.watched = true
		n.interval = min(n.interval, limit/3)
	}
	return n, nil
}

// Run says that the process is ready and, until ctx ends, each state that it comes to and that it is alive. When stopping is
// closed it says that too.
func (n *Notifier) Run(ctx context.Context, stopping <-chan struct{}) {
	if !n.tell(daemon.SdNotifyReady) {
		return
	}
	ticker := time.NewTicker(n.interval)
	defer ticker.Stop()
	for {
		n.look()
		select {
		case <-ticker.C:
		case <-stopping:
			n.tell(daemon.SdNotifyStopping)
			stopping = nil
		case <-ctx.Done():
			n.look() // the last state stays in `systemctl status`
			return
		}
	}
}

// look tells what has changed since it last looked.
func (n *Notifier) look() {
	if state := strings.Join(strings.Fields(n.state()), " "); state != n.told {
		n.told = state
		n.tell("STATUS=" + state)
	}
	if !n.watched {
		return
	}
	err := n.healthy()
	if err == nil {
		n.outage.Over("there is progress again: systemd's watchdog is told so")
		n.tell(daemon.SdNotifyWatchdog)
		return
	}
	n.outage.Failed(slog.LevelError, "sick", "no progress; systemd's watchdog will restart the process if this stays", "error", err)
}

// tell says whether systemd listens. That it cannot be told is logged once and is no reason to stop delivering.
func (n *Notifier) tell(message string) bool {
	listens, err := daemon.SdNotify(false, message)
	if err != nil && !n.failed {
		n.failed = true
		n.log.Warn("systemd cannot be told how the process is; it may take it for hung: look at NOTIFY_SOCKET", "error", err)
	}
	return listens || err != nil
}
