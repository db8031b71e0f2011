//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// What may heal is no mistake: it is said once, however often it is tried, and SIGTERM ends it as it ends any run.
func TestWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close() // and nobody listens there any more
	for _, test := range []struct {
		name   string
		env    []string
		before func(t *testing.T, s *site, name, dir string) // something is in the way
		metric string                                        // counts the attempts
		want   []string                                      // in the one line of the log
	}{
		{"refused", []string{"PGWITNESS_SOURCE_DSN=postgres://u:{password}@" + nobody + "/db?sslmode=disable"}, nil,
			`pgwitness_source_reconnects_total{reason="refused"}`, []string{"trying again until it works", nobody, "connection refused"}},
		{"unknown_host", []string{"PGWITNESS_SOURCE_DSN=postgres://u:{password}@nowhere.invalid/db?sslmode=disable"}, nil,
			`pgwitness_source_reconnects_total{reason="dns"}`, []string{"trying again until it works", "nowhere.invalid"}},
		{"file_locked", nil, lock, `pgwitness_sink_failures_total{reason="other",sink="file"}`,
			[]string{"trying again until it works", "another process writes to {dir}/audit.jsonl", "stop it, or configure another path"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s.prepare(t, test.name)
			if test.before != nil {
				test.before(t, s, test.name, dir)
			}
			confirmed := s.confirmed(t, test.name)
			m := mistake{env: slices.Concat(environment, test.env, []string{"PGWITNESS_HTTP_LISTEN=127.0.0.1:0"})}
			fill := s.fill(test.name, dir)
			ctx, cancel := context.WithTimeout(t.Context(), 2*mistakeLimit)
			defer cancel()
			cmd := m.prepare(ctx, t, dir, fill)
			log := start(t, cmd)
			log.awaitCount(t, test.metric, 3)
			said := log.end(t, cmd)
			if code := cmd.ProcessState.ExitCode(); code != exitDone {
				t.Errorf("exit code %d:\n%s", code, said)
			}
			checkNothingLeaks(t, said)
			var warnings []string
			for line := range strings.Lines(said) {
				if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
					warnings = append(warnings, line)
				}
			}
			if len(warnings) != 1 {
				t.Fatalf("%d warnings instead of one:\n%s", len(warnings), said)
			}
			t.Log(warnings[0])
			for _, text := range test.want {
				if !strings.Contains(warnings[0], fill(text)) {
					t.Errorf("no %q in: %s", fill(text), warnings[0])
				}
			}
			if strings.Contains("\n"+said, "\npgwitness: ") {
				t.Errorf("told as an error:\n%s", said)
			}
			if after := s.confirmed(t, test.name); after != confirmed {
				t.Errorf("the slot is confirmed up to %s, before it was %s", after, confirmed)
			}
		})
	}
}

// lock is another process that writes to the file.
func lock(t *testing.T, _ *site, _, dir string) {
	held := flock.New(filepath.Join(dir, "audit.jsonl.lock"))
	if ok, err := held.TryLock(); err != nil || !ok {
		t.Fatalf("locked: %v, %v", ok, err)
	}
	t.Cleanup(func() { held.Unlock() })
}

// runLog is the standard error of a process.
type runLog struct {
	lines *bufio.Reader
	said  strings.Builder // what was read so far
}

// start starts cmd, which is killed at the end of the test if it still runs.
func start(t *testing.T, cmd *exec.Cmd) *runLog {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return &runLog{lines: bufio.NewReader(stderr)}
}

// await reads up to the line that holds text, and returns it.
func (l *runLog) await(t *testing.T, text string) string {
	t.Helper()
	for {
		line, err := l.lines.ReadString('\n')
		l.said.WriteString(line)
		if err != nil {
			t.Fatalf("%v before %q was said, but:\n%s", err, text, &l.said)
		}
		if strings.Contains(line, text) {
			return line
		}
	}
}

// awaitCount polls the process's metrics until the one of that name and those labels has come to count.
func (l *runLog) awaitCount(t *testing.T, metric string, count int) {
	t.Helper()
	var serving struct{ Address string }
	if err := json.Unmarshal([]byte(l.await(t, `"msg":"serving`)), &serving); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), mistakeLimit)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	value := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(metric) + ` ([0-9]+)$`)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+serving.Address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("before %s came to %d: %v", metric, count, err)
		}
		page, err := io.ReadAll(response.Body)
		response.Body.Close()
		if found := value.FindSubmatch(page); err == nil && found != nil {
			if n, err := strconv.Atoi(string(found[1])); err == nil && n >= count {
				return
			}
		}
		<-poll.C
	}
}

// end asks the process to stop, waits until it has, and returns all that it said.
func (l *runLog) end(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := l.lines.WriteTo(&l.said); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // ProcessState says it all
	return l.said.String()
}
