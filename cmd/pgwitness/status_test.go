package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"pgwitness/internal/feed"
	"pgwitness/internal/metrics"
	"pgwitness/internal/status"
	"pgwitness/internal/web"
)

// listen serves at an address until the returned function, or the test's end, stops it.
func listen(t *testing.T, address string, now func() status.Status, events *feed.Feed) (url string, stop func()) {
	t.Helper()
	server, err := web.Listen(web.Config{Listen: address, Metrics: metrics.New(metrics.Config{}).Registry(), Status: now, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		ran <- nil // for the next call
	}
	t.Cleanup(stop)
	return "http://" + server.Addr().String(), stop
}

// untilWritten cancels a command's context once it has written so many of what.
type untilWritten struct {
	bytes.Buffer
	what   string
	times  int
	cancel context.CancelFunc
}

func (w *untilWritten) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Count(w.String(), w.what) >= w.times {
		w.cancel()
	}
	return n, err
}

func TestStatusCommand(t *testing.T) {
	now := wellStatus()
	well, _ := listen(t, "127.0.0.1:0", func() status.Status { return *now }, nil)
	ill := *now
	ill.Problems = []status.Problem{{Severity: status.Critical, What: "the slot is lost", Fix: "mend it"}}
	bad, _ := listen(t, "127.0.0.1:0", func() status.Status { return ill }, nil)
	gone, stop := listen(t, "127.0.0.1:0", nil, nil)
	stop()
	body, err := json.MarshalIndent(ill, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string // a part of it; empty for nothing at all
	}{
		{"well", []string{"--url", well}, exitDone, renderStatus(now, well, pipedWidth, false), ""},
		{"critical", []string{"--url", bad}, exitDifferences, renderStatus(&ill, bad, pipedWidth, false), ""},
		{"critical, as JSON", []string{"--url", bad, "--json"}, exitDifferences, string(body) + "\n", ""},
		{"gone", []string{"--url", gone}, exitFailed, "", "is this its address?"},
		{"no URL", []string{"--url", "db1:9717"}, exitUsage, "", "want http://host:port"},
		{"a watch that is none", []string{"--url", well, "--watch=0s"}, exitUsage, "", "--watch: want 100ms or more"},
		{"an argument", []string{"now"}, exitUsage, "", "unexpected argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(t.Context(), newRootCommand(), append([]string{"status"}, tt.args...), &stdout, &stderr)
			if code != tt.code || stdout.String() != tt.stdout {
				t.Errorf("exit code %d, want %d; standard output\n%s\nwant\n%s", code, tt.code, &stdout, tt.stdout)
			}
			if said := stderr.String(); (said != "") != (tt.stderr != "") || !strings.Contains(said, tt.stderr) || strings.Count(said, "\n") > 1 {
				t.Errorf("standard error %q, want %q", said, tt.stderr)
			}
		})
	}
}

func TestStatusWatch(t *testing.T) {
	url, _ := listen(t, "127.0.0.1:0", func() status.Status { return *wellStatus() }, nil)
	gone, stop := listen(t, "127.0.0.1:0", nil, nil)
	stop()
	tests := []struct {
		name string
		args []string
		what string // is written thrice
	}{
		{"for people", []string{"--url", url}, "nothing is wrong"},
		{"as JSON", []string{"--url", url, "--json"}, `{"version":"v1.2.3",`},
		{"nobody there", []string{"--url", gone}, "UNKNOWN"},
		{"nobody there, as JSON", []string{"--url", gone, "--json"}, `{"error":"` + gone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			const frames = 3
			stdout := untilWritten{what: tt.what, times: frames, cancel: cancel}
			var stderr bytes.Buffer
			code := execute(ctx, newRootCommand(), append([]string{"status", "--watch=100ms"}, tt.args...), &stdout, &stderr)
			if code != exitDone || stderr.Len() > 0 {
				t.Errorf("exit code %d, standard error %s", code, &stderr)
			}
			if got := strings.Count(stdout.String(), tt.what); got != frames || strings.ContainsRune(stdout.String(), '\x1b') {
				t.Errorf("%d frames:\n%s", got, &stdout)
			}
			if strings.Contains(tt.name, "JSON") {
				for line := range strings.Lines(stdout.String()) {
					if !json.Valid([]byte(line)) {
						t.Errorf("no JSON: %s", line)
					}
				}
			}
		})
	}
}
