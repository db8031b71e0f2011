package web

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgwitness/internal/feed"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pgoutputtest"
)

// open asks for /events and returns a reader of the answer's lines.
func open(t *testing.T, server *Server, query string) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Addr().String()+"/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return bufio.NewReader(res.Body)
}

func next(t *testing.T, lines *bufio.Reader) string {
	t.Helper()
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", line, err)
	}
	return line
}

func newFeed() *feed.Feed { return feed.New(feed.Config{Next: metrics.New(metrics.Config{})}) }

func TestEventsAreHidden(t *testing.T) {
	server, _ := start(t, Config{})
	got := request(t, server, http.MethodGet, "/events")
	if got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "http.show_events") {
		t.Errorf("answered %d %q", got.StatusCode, got.body)
	}
}

func TestEventsRequest(t *testing.T) {
	f := newFeed()
	server, _ := start(t, Config{Events: f})
	f.Durable(pgoutputtest.Events(0x1000, 2, 3), 0x1130) // ids 1 to 6
	tests := []struct {
		query string
		code  int
		want  string // the ids, or the mistake
	}{
		{"last=2", 200, "5 6"},
		{"last=1000", 200, "1 2 3 4 5 6"},
		{"", 200, ""},
		{"last=2&table=orders&operation=update&user=app&kind=audit", 200, "4 5"},
		{"last=9&table=customers&table=orders", 200, "1 2 3 4 5 6"},
		{"last=9&operation=delete", 200, ""},
		{"last=9&user=App", 200, ""},
		{"last=9&kind=tamper&kind=retention", 200, ""},
		{"last=1001", 400, "last: want a number from 0 to 1000\n"},
		{"last=-1", 400, "last: want a number from 0 to 1000\n"},
		{"tabel=orders", 400, "\"tabel\": want one of table, operation, user, kind, last, follow\n"},
		{"operation=INSERT", 400, "operation: \"INSERT\": want one of insert, update, delete, truncate, other\n"},
		{"kind=evil", 400, "kind: \"evil\": want one of audit, tamper, retention\n"},
		{"follow=perhaps", 400, "follow: want true or false\n"},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			query := tt.query
			if tt.code == http.StatusOK {
				query += "&follow=false"
			}
			got := request(t, server, http.MethodGet, "/events?"+query)
			body := got.body
			if tt.code == http.StatusOK {
				body = ids(t, body)
				if ct := got.Header.Get("Content-Type"); ct != "application/x-ndjson" {
					t.Errorf("the content type is %q", ct)
				}
			}
			if got.StatusCode != tt.code || body != tt.want {
				t.Errorf("answered %d %q, want %d %q", got.StatusCode, body, tt.code, tt.want)
			}
		})
	}
	if got := request(t, server, http.MethodHead, "/events"); got.StatusCode != http.StatusOK {
		t.Errorf("HEAD is answered with %d", got.StatusCode)
	}
}

// ids are the primary keys of events, one a line.
func ids(t *testing.T, lines string) string {
	t.Helper()
	var all []string
	for line := range strings.Lines(lines) {
		var event struct{ Row struct{ ID json.Number } }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, event.Row.ID.String())
	}
	return strings.Join(all, " ")
}

// The lines are the decoder's, byte for byte, those of before and those that come; and the end of the listener is the
// answer's orderly end.
func TestEventsCome(t *testing.T) {
	f := newFeed()
	server, stop := start(t, Config{Events: f})
	before, after := pgoutputtest.Events(0x1000, 1, 2), pgoutputtest.Events(0x2000, 1, 3)
	f.Durable(before, 0x1030)
	lines := open(t, server, "last=1")
	if got, want := next(t, lines), string(before[1].Line()); got != want {
		t.Errorf("of before came %s, want %s", got, want)
	}
	f.Durable(nil, 0x1100)
	f.Durable(after, 0x2030)
	for _, e := range after {
		if got, want := next(t, lines), string(e.Line()); got != want {
			t.Errorf("came %s, want %s", got, want)
		}
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took >= shutdownGrace {
		t.Errorf("a listener held up the end for %v", took)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("the answer ended with %q and %v", rest, err)
	}
}

// The deadlines that bound other answers do not end this one.
func TestEventsOutlastTheServersTimeouts(t *testing.T) {
	f := newFeed()
	server, err := Listen(Config{Listen: "127.0.0.1:0", Metrics: metrics.New(metrics.Config{}).Registry(), Events: f})
	if err != nil {
		t.Fatal(err)
	}
	server.http.ReadTimeout, server.http.WriteTimeout, server.http.ReadHeaderTimeout = 20*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond
	serve(t, server)
	lines := open(t, server, "")
	silent, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := io.ReadAll(silent); err != nil { // ends with the longest of the three
		t.Fatal(err)
	}
	f.Durable(pgoutputtest.Events(0x1000, 1, 1), 0x1030)
	if got := ids(t, next(t, lines)); got != "1" {
		t.Errorf("came %s", got)
	}
}

// A client that does not read holds nothing up, and is told how much it missed.
func TestSlowReaderIsToldWhatItMissed(t *testing.T) {
	f := newFeed()
	server, _ := start(t, Config{Events: f})
	lines := open(t, server, "")
	const rounds, each = 50, 2000 // some 30 MB, which no socket's buffers hold
	for events := pgoutputtest.Events(0x1000, 1, each); f.End() < rounds*each; {
		f.Durable(events, 0x1030)
	}
	f.Durable(pgoutputtest.Events(0xF0000, 1, 1), 0xF0030)
	came, missed := 0, 0
	for {
		line := next(t, lines)
		var skipped struct{ Skipped int }
		if err := json.Unmarshal([]byte(line), &skipped); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if skipped.Skipped > 0 {
			if want := fmt.Sprintf("{\"skipped\":%d}\n", skipped.Skipped); line != want {
				t.Errorf("said %q, want %q", line, want)
			}
			missed += skipped.Skipped
		} else {
			came++
		}
		if strings.Contains(line, `"lsn":"0/F0000"`) {
			break
		}
	}
	if came+missed != rounds*each+1 || missed == 0 {
		t.Errorf("%d came and %d were missed, of %d", came, missed, rounds*each+1)
	}
}
