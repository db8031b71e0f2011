//go:build unix

package integration

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// pod is a process with its listener, as Kubernetes sees it.
type pod struct {
	*witnesstest.Process
	address string
}

var addressLogged = regexp.MustCompile(`"address":"([^"]+)"`)

func runPod(t *testing.T, cfg witnesstest.Config) *pod {
	t.Helper()
	cfg.Environ = append(cfg.Environ, "PGWITNESS_HTTP_LISTEN=127.0.0.1:0")
	p := &pod{Process: witnesstest.Run(t, cfg)}
	p.AwaitLog(t, `"address":"`, soon)
	p.address = addressLogged.FindStringSubmatch(p.Stderr())[1]
	return p
}

// get returns the answer's code and text.
func (p *pod) get(t *testing.T, path string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + p.address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// awaitProbes waits until the readiness probe gives code and begins with text, and sees that the process counts as alive and
// that its metrics agree.
func (p *pod) awaitProbes(t *testing.T, code int, text string) {
	t.Helper()
	var gotCode int
	var got string
	if !witnesstest.Poll(soon, func() bool {
		gotCode, got = p.get(t, "/readyz")
		return gotCode == code && strings.HasPrefix(got, text)
	}) {
		t.Fatalf("/readyz: %d %q, want %d %q; standard error:\n%s", gotCode, got, code, text, p.Stderr())
	}
	if code, body := p.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s", code, body)
	}
	_, metrics := p.get(t, "/metrics")
	for name, is := range map[string]bool{"active": text == streaming, "standby": text == standingBy} {
		want := "\npgwitness_" + name + " 0\n"
		if is {
			want = "\npgwitness_" + name + " 1\n"
		}
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q while /readyz says %q", strings.TrimSpace(want), got)
		}
	}
}

const (
	streaming  = "streaming"
	standingBy = "standing by"
	notReady   = "not streaming"
)

// takenOver waits until a row that is inserted now is confirmed, and reports how long after began that was.
func takenOver(t *testing.T, d *witnesstest.Database, began time.Time, limit time.Duration) {
	t.Helper()
	insert(t, d, 1)
	d.AwaitConfirmed(t, soon)
	took := time.Since(began)
	t.Logf("took over, and delivered a row that was inserted meanwhile, within %v", took.Round(time.Millisecond))
	if took > limit {
		t.Errorf("that is more than %v", limit)
	}
}

// senderTimeout is how long the server waits for a consumer that says nothing.
const senderTimeout = 3 * time.Second

// TestTakeover ends the first of two replicas, which share directory and file.
func TestTakeover(t *testing.T) {
	t.Parallel()
	server := start(t, 0, nil)
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "asked to end": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := witnesstest.NewDatabase(t, server)
			cfg := d.Config(t)
			first := runPod(t, cfg)
			first.awaitProbes(t, http.StatusOK, streaming)
			second := runPod(t, cfg)
			second.awaitProbes(t, http.StatusOK, standingBy)
			for range 20 {
				insert(t, d, 1)
			}
			began := time.Now()
			first.Signal(t, signal)
			<-first.Done()
			takenOver(t, d, began, 5*time.Second)
			second.awaitProbes(t, http.StatusOK, streaming)
			expectTable(t, d, readFile(t, cfg))
		})
	}
}

// TestFrozenReplica stops the process of the first of two replicas in the midst of a write, as a node does that hangs, until the
// server has given it up and the second has the slot; then it wakes up.
func TestFrozenReplica(t *testing.T) {
	t.Parallel()
	server := start(t, 0, map[string]string{"wal_sender_timeout": "3s"})
	t.Run("with a directory of its own", func(t *testing.T) {
		t.Parallel()
		d := witnesstest.NewDatabase(t, server)
		firstConfig, secondConfig := d.Config(t), d.Config(t)
		first, second := freeze(t, d, firstConfig, secondConfig)
		began := time.Now()
		takenOver(t, d, began, senderTimeout+5*time.Second)
		wake(t, first)
		// Its checkpoint is older than the slot. It has seen that the second had it, and goes on.
		second.Kill()
		takenOver(t, d, time.Now(), 5*time.Second)
		held := map[int]bool{}
		for _, cfg := range []witnesstest.Config{firstConfig, secondConfig} {
			last := 0
			for _, e := range readFile(t, cfg) {
				if e.id() <= last {
					t.Errorf("%s holds row %d after %d", cfg.Dir, e.id(), last)
				}
				last = e.id()
				held[last] = true
			}
		}
		if rows := d.Query(t, "SELECT count(*)::text FROM custom_audit_log"); rows != strconv.Itoa(len(held)) {
			t.Errorf("both files together hold %d rows, the table %s", len(held), rows)
		}
	})
	// The frozen process keeps the lock of the file, and only its end or its waking up lets another one write.
	t.Run("with the same directory", func(t *testing.T) {
		t.Parallel()
		d := witnesstest.NewDatabase(t, server)
		cfg := d.Config(t)
		first, second := freeze(t, d, cfg, cfg)
		second.AwaitLog(t, `"took_over":true`, soon)
		second.AwaitLog(t, "another process writes to", soon)
		insert(t, d, 1)
		wake(t, first)
		d.AwaitConfirmed(t, soon)
		began := time.Now()
		second.Kill()
		takenOver(t, d, began, 5*time.Second)
		first.Signal(t, syscall.SIGTERM)
		expectExit(t, first.Process, exitDone)
		expectTable(t, d, readFile(t, cfg))
	})
}

// freeze starts two replicas and stops the process of the first while it writes a large transaction.
func freeze(t *testing.T, d *witnesstest.Database, firstConfig, secondConfig witnesstest.Config) (first, second *pod) {
	t.Helper()
	first = runPod(t, firstConfig)
	first.awaitProbes(t, http.StatusOK, streaming)
	insert(t, d, 1)
	d.AwaitConfirmed(t, soon)
	second = runPod(t, secondConfig)
	second.awaitProbes(t, http.StatusOK, standingBy)
	insert(t, d, 50_000)
	path := filepath.Join(firstConfig.Dir, "audit.jsonl")
	if !witnesstest.Poll(soon, func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 1<<20
	}) {
		t.Fatalf("%s does not grow", path)
	}
	first.Signal(t, syscall.SIGSTOP)
	t.Logf("%d of 50,001 rows were written when the process froze", len(readFile(t, firstConfig)))
	return first, second
}

// wake lets the process go on, which finds its slot taken.
func wake(t *testing.T, p *pod) {
	t.Helper()
	p.Signal(t, syscall.SIGCONT)
	p.awaitProbes(t, http.StatusOK, standingBy)
}

// TestPodLife goes through what a pod meets.
func TestPodLife(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, nil))
	cfg := d.Config(t)
	cfg.Environ = []string{"PGWITNESS_BUFFER_MAX_BYTES=256KiB"} // a large transaction is many batches

	// It is started before PostgreSQL.
	d.StopServer(t, embeddedpg.Fast)
	old := runPod(t, cfg)
	old.awaitProbes(t, http.StatusServiceUnavailable, notReady)
	d.StartServer(t)
	began := time.Now()
	takenOver(t, d, began, 15*time.Second) // the longest wait between two attempts, after a long absence

	// PostgreSQL goes, and comes back.
	d.StopServer(t, embeddedpg.Immediate)
	old.awaitProbes(t, http.StatusServiceUnavailable, notReady)
	d.StartServer(t)
	began = time.Now()
	takenOver(t, d, began, 15*time.Second)
	old.awaitProbes(t, http.StatusOK, streaming)

	// A rolling update: the new one is ready, as a standby, before the old one is told to end.
	next := runPod(t, cfg)
	next.awaitProbes(t, http.StatusOK, standingBy)
	began = time.Now()
	old.Signal(t, syscall.SIGTERM)
	takenOver(t, d, began, 5*time.Second)
	expectExit(t, old.Process, exitDone)

	// It is evicted in the midst of a large transaction.
	insert(t, d, 100_000)
	grown := func() int64 {
		info, err := os.Stat(filepath.Join(cfg.Dir, "audit.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := grown()
	if !witnesstest.Poll(soon, func() bool { return grown() > before }) {
		t.Fatal("nothing is written of the large transaction")
	}
	next.Signal(t, syscall.SIGTERM)
	expectExit(t, next.Process, exitDone)
	if n := len(readFile(t, cfg)); n > 100_000 {
		t.Errorf("%d rows were there at its end: it was not in the midst of the transaction", n)
	}
	last := runPod(t, cfg)
	d.AwaitConfirmed(t, 2*soon)
	last.Signal(t, syscall.SIGTERM)
	expectExit(t, last.Process, exitDone)
	expectTable(t, d, readFile(t, cfg))
}
