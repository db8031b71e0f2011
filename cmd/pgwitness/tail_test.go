package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/feed"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/internal/status"
	"pgwitness/internal/terminal"
)

func newFeed(events ...[]decoder.Event) *feed.Feed {
	f := feed.New(feed.Config{Next: metrics.New(metrics.Config{})})
	for _, batch := range events {
		f.Durable(batch, 0)
	}
	return f
}

func raw(events []decoder.Event) string {
	var lines strings.Builder
	for _, e := range events {
		lines.Write(e.Line())
	}
	return lines.String()
}

func TestTailCommand(t *testing.T) {
	at := pgoutputtest.Epoch.Local().Format("15:04:05.000")
	events := pgoutputtest.Events(0x1000, 2, 3)
	url, _ := listen(t, "127.0.0.1:0", nil, newFeed(events))
	hidden, _ := listen(t, "127.0.0.1:0", nil, nil)
	gone, stop := listen(t, "127.0.0.1:0", nil, nil)
	stop()
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string // a part of it; empty for nothing at all
	}{
		{"the last", []string{"--url", url, "--last", "2"}, exitDone,
			at + "  ~ UPDATE  orders       app           #5 column_name é \"quoted\"\n" +
				at + "  ~ UPDATE  customers    app           #6 column_name é \"quoted\"\n", ""},
		{"as they are", []string{"--url", url, "-n3", "--json"}, exitDone, raw(events[3:]), ""},
		{"filtered", []string{"--url", url, "--json", "--table", "customers", "--user", "app", "--operation", "insert,update", "--kind", "audit"}, exitDone,
			raw(events[2:3]) + raw(events[5:]), ""},
		{"none", []string{"--url", url, "--kind", "tamper,retention"}, exitDone, "", ""},
		{"an operation that is none", []string{"--url", url, "--operation", "select"}, exitUsage, "", `--operation: "select": want one of insert`},
		{"too many", []string{"--url", url, "--last", "1001"}, exitUsage, "", "--last: want a number from 0 to 1000"},
		{"hidden", []string{"--url", hidden}, exitUsage, "", "http.show_events"},
		{"gone", []string{"--url", gone}, exitFailed, "", "is this its address?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(t.Context(), newRootCommand(), append([]string{"tail", "--no-follow"}, tt.args...), &stdout, &stderr)
			if code != tt.code || stdout.String() != tt.stdout {
				t.Errorf("exit code %d, want %d; standard output\n%s\nwant\n%s", code, tt.code, &stdout, tt.stdout)
			}
			if said := stderr.String(); (said != "") != (tt.stderr != "") || !strings.Contains(said, tt.stderr) || strings.Count(said, "\n") > 1 {
				t.Errorf("standard error %q, want %q", said, tt.stderr)
			}
		})
	}
}

// A pgwitness that is restarted is waited for. What it delivered meanwhile is shown, and nothing twice; another server's
// positions may be lower.
func TestTailOutlastsARestart(t *testing.T) {
	first := pgoutputtest.Events(0x1000, 1, 2)
	f := newFeed(first)
	url, stop := listen(t, "127.0.0.1:0", nil, f)

	stdout, lines := io.Pipe()
	var stderr bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- execute(ctx, newRootCommand(), []string{"tail", "--json", "--url", url}, lines, &stderr)
		lines.Close()
	}()
	await := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(stdout, got); err != nil || string(got) != want {
			t.Fatalf("came (%v)\n%s\nwant\n%s", err, got, want)
		}
	}
	await(raw(first))
	live := pgoutputtest.Events(0x2000, 1, 1)
	f.Durable(live, 0)
	await(raw(live))
	stop()
	meanwhile := pgoutputtest.Events(0x3000, 1, 3)
	listen(t, strings.TrimPrefix(url, "http://"), nil, newFeed(live, meanwhile))
	await(raw(meanwhile))
	cancel()
	if got := <-code; got != exitDone {
		t.Errorf("exit code %d", got)
	}
	if said := stderr.String(); strings.Count(said, "\n") != 2 || !strings.Contains(said, "has gone") || !strings.Contains(said, "answers again") {
		t.Errorf("standard error:\n%s", said)
	}
}

// What a line becomes, once a pgwitness is back and before.
func TestTailLines(t *testing.T) {
	event := func(lsn, committed string) string {
		return `{"lsn":"` + lsn + `","seq":0,"commit_time":"2026-11-23T08:30:0` + committed + `Z","kind":"audit","op":"insert","row":{"event_type":"LOGIN"}}` + "\n"
	}
	tests := []struct {
		name, before, line string
		again, shown       bool
	}{
		{"the first", "", event("0/1", "1"), false, true},
		{"once more", event("0/5", "5"), event("0/5", "5"), true, false},
		{"an older one", event("0/5", "5"), event("0/4", "4"), true, false},
		{"a newer one", event("0/5", "5"), event("0/6", "5"), true, true},
		{"a newer one of another server", event("0/5", "5"), event("0/4", "6"), true, true},
		{"an older one, without a restart", event("0/5", "5"), event("0/4", "5"), false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v tailView
			if tt.before != "" {
				if _, err := v.render([]byte(tt.before), false); err != nil {
					t.Fatal(err)
				}
			}
			got, err := v.render([]byte(tt.line), tt.again)
			if err != nil || (len(got) > 0) != tt.shown {
				t.Errorf("%q and %v", got, err)
			}
		})
	}
	v := tailView{out: terminal.Terminal{Colours: true}}
	if got, err := v.render([]byte("{\"skipped\":1200}\n"), true); err != nil || string(got) != terminal.Gray+"… 1,200 events came too fast to be shown"+terminal.Reset+"\n" {
		t.Errorf("%q and %v", got, err)
	}
	v.json = true
	if got, err := v.render([]byte("{\"skipped\":1200}\n"), true); err != nil || string(got) != "{\"skipped\":1200}\n" {
		t.Errorf("%q and %v", got, err)
	}
	if _, err := v.render([]byte("<html>\n"), false); err == nil {
		t.Error("a line that is none is shown")
	}
}

// Where the listener is comes from the flags, then from the environment, then from the configuration.
func TestClientFlags(t *testing.T) {
	now := wellStatus()
	url, _ := listen(t, "127.0.0.1:0", func() status.Status { return *now }, nil)
	address := strings.TrimPrefix(url, "http://")
	tests := []struct {
		name    string
		args    []string
		environ map[string]string
		code    int
	}{
		{"configuration", nil, map[string]string{"PGWITNESS_HTTP_LISTEN": address}, exitDone},
		{"environment over configuration", nil, map[string]string{"PGWITNESS_CLIENT_URL": url, "PGWITNESS_HTTP_LISTEN": "off"}, exitDone},
		{"flag over environment", []string{"--url", url}, map[string]string{"PGWITNESS_CLIENT_URL": "nonsense"}, exitDone},
		{"off", nil, map[string]string{"PGWITNESS_HTTP_LISTEN": "off"}, exitUsage},
		{"no such file", []string{"-c", "/missing.yaml"}, nil, exitUsage},
		{"a password without a login", []string{"--url", url, "--password-file", "/missing"}, nil, exitUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.environ {
				t.Setenv(name, value)
			}
			var stdout, stderr bytes.Buffer
			if code := execute(t.Context(), newRootCommand(), append([]string{"status"}, tt.args...), &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, &stderr)
			}
		})
	}
}
