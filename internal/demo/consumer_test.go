//go:build unix

package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConsumer(t *testing.T) {
	tests := []struct {
		behaviour string
		kill      bool
		lives     int    // after which it is asked to stop; 0 for not at all
		code      int    // of the ConsumerError, 0 for none
		log       string // in it
	}{
		{"runs", false, 1, 0, ""},
		{"runs", true, 3, 0, ""},
		{"fails", false, 0, 4, "why it fails"},
		{"fails when asked to stop", false, 1, 1, ""},
	}
	for _, test := range tests {
		name := test.behaviour
		if test.kill {
			name += " and is killed"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "lives")
			told := 0
			c := newConsumer(append(os.Environ(), fakeEnv+"="+test.behaviour, "TEST_FILE="+file), test.kill, func(times int) { told = times })
			done := make(chan error, 1)
			go func() { done <- c.run(t.Context()) }()
			if test.lives > 0 {
				awaitLines(t, file, test.lives)
				close(c.calm)
				close(c.stop)
			}
			err := <-done
			var ended *ConsumerError
			if errors.As(err, &ended) != (test.code != 0) || err != nil && ended == nil {
				t.Fatalf("error %v", err)
			}
			if test.code != 0 && (ended.Code != test.code || ended.Log != test.log) {
				t.Errorf("code %d and log %q, want %d and %q", ended.Code, ended.Log, test.code, test.log)
			}
			// On a slow machine there is time for one more kill before calm comes.
			if want := max(0, test.lives-1); told != c.kills || c.kills < want || !test.kill && c.kills > 0 {
				t.Errorf("killed %d times and told of %d, want %d", c.kills, told, want)
			}
			if test.lives > 0 && (c.cpu <= 0 || c.lived <= 0) {
				t.Errorf("took %v in %v", c.cpu, c.lived)
			}
		})
	}
}

func TestConsumerIsCancelled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lives")
	c := newConsumer(append(os.Environ(), fakeEnv+"=runs", "TEST_FILE="+file), false, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()
	awaitLines(t, file, 1)
	cancel(errAbandoned)
	if err := <-done; !errors.Is(err, errAbandoned) {
		t.Errorf("error %v", err)
	}
}

func TestLastBytes(t *testing.T) {
	var log lastBytes
	for range 3 {
		if n, err := log.Write([]byte(strings.Repeat("a", logTail/2) + "b")); n != logTail/2+1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(log) != logTail || !strings.HasSuffix(string(log), "ab") {
		t.Errorf("%d bytes kept, want the last %d", len(log), logTail)
	}
}

// awaitLines polls for what another process does, of which there is no event to wait for.
func awaitLines(t *testing.T, path string, lines int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		content, err := os.ReadFile(path)
		if err == nil && strings.Count(string(content), "\n") >= lines {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("waited 30 s in vain for %d lines in %s", lines, path)
		}
	}
}
