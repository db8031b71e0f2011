package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is systemd's end of the socket.
type manager struct {
	t       *testing.T
	conn    *net.UnixConn
	watches bool
}

// listen makes a socket of the given name the one to be notified at; those that begin with @ are abstract.
func listen(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return &manager{t: t, conn: conn}
}

func (m *manager) next() string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	message := make([]byte, 4096)
	n, err := m.conn.Read(message)
	if err != nil {
		m.t.Fatalf("systemd was told nothing more: %v", err)
	}
	return string(message[:n])
}

// want reads the next message, but for those that say to a watchdog that the process is alive.
func (m *manager) want(message string) {
	m.t.Helper()
	for {
		switch got := m.next(); {
		case got == message:
			return
		case got != "WATCHDOG=1" || !m.watches:
			m.t.Fatalf("systemd was told %q, want %q", got, message)
		}
	}
}

// run starts a notifier and returns what ends it and waits for its end.
func run(t *testing.T, cfg Config, stopping <-chan struct{}) (end func()) {
	t.Helper()
	cfg.Interval = time.Millisecond
	notifier, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		notifier.Run(ctx, stopping)
	}()
	end = func() {
		cancel()
		<-done
	}
	t.Cleanup(end)
	return end
}

func TestTellsWhatChanges(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@pgwitness-test-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			manager := listen(t, socket)
			var state atomic.Value
			state.Store("connecting:\n  no route to host")
			stopping := make(chan struct{})
			end := run(t, Config{State: func() string { return state.Load().(string) }}, stopping)

			manager.want("READY=1")
			manager.want("STATUS=connecting: no route to host") // a line break would begin another assignment
			state.Store("streaming")
			manager.want("STATUS=streaming")
			close(stopping)
			manager.want("STOPPING=1")
			state.Store("confirming")
			manager.want("STATUS=confirming")
			state.Store("ended")
			end()
			manager.want("STATUS=ended")
		})
	}
}

func TestWatchdog(t *testing.T) {
	manager := listen(t, filepath.Join(t.TempDir(), "notify"))
	manager.watches = true
	t.Setenv("WATCHDOG_USEC", "3000000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	var sick atomic.Bool
	var state atomic.Value
	state.Store("streaming")
	var log bytes.Buffer
	end := run(t, Config{
		State: func() string { return state.Load().(string) },
		Healthy: func() error {
			if sick.Load() {
				return errors.New("sink file has been writing one batch for 11m0s")
			}
			return nil
		},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, nil)
	manager.want("READY=1")
	manager.want("STATUS=streaming")
	if got := manager.next(); got != "WATCHDOG=1" {
		t.Fatalf("systemd was told %q, want WATCHDOG=1", got)
	}

	sick.Store(true)
	for i := range 5 { // each state is one look later than the one before
		state.Store(fmt.Sprint(i))
		manager.want(fmt.Sprintf("STATUS=%d", i))
	}
	state.Store("silent")
	if got := manager.next(); got != "STATUS=silent" {
		t.Fatalf("a process that makes no progress told %q", got)
	}

	sick.Store(false)
	if got := manager.next(); got != "WATCHDOG=1" {
		t.Fatalf("a process that has recovered told %q", got)
	}
	end()
	if got := strings.Count(log.String(), "sink file has been writing"); got != 1 {
		t.Errorf("the reason is in the log %d times:\n%s", got, &log)
	}
}

func TestWatchdogInterval(t *testing.T) {
	tests := []struct {
		name, limit, pid string
		want             time.Duration
		watched          bool
	}{
		{"none", "", "", time.Second, false},
		{"long", "60000000", "", time.Second, true},
		{"short", "600000", "", 200 * time.Millisecond, true},
		{"of another process", "600000", "1", time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("WATCHDOG_USEC", tt.limit)
			t.Setenv("WATCHDOG_PID", tt.pid)
			notifier, err := New(Config{})
			if err != nil {
				t.Fatal(err)
			}
			if notifier.interval != tt.want || notifier.watched != tt.watched {
				t.Errorf("looks every %v, watched: %t; want %v, %t", notifier.interval, notifier.watched, tt.want, tt.watched)
			}
		})
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, err := New(Config{}); err == nil {
		t.Error("a WATCHDOG_USEC that is no number is taken")
	}
}

// TestWithoutSystemd is what happens on every other machine.
func TestWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	notifier, err := New(Config{State: func() string { t.Error("the state was asked for"); return "" }})
	if err != nil {
		t.Fatal(err)
	}
	notifier.Run(t.Context(), nil) // returns
}

func TestSocketGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	var log bytes.Buffer
	looks, seen := make(chan struct{}), make(chan struct{})
	end := run(t, Config{
		State: func() string {
			select {
			case looks <- struct{}{}:
			case <-seen:
			}
			return fmt.Sprint(time.Now())
		},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, nil)
	<-looks
	<-looks
	close(seen)
	end()
	if got := strings.Count(log.String(), "level=WARN"); got != 1 {
		t.Errorf("%d warnings, want 1:\n%s", got, &log)
	}
}
