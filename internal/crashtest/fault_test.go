//go:build unix

package crashtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// failpoints are the places in the code where the consumer may be killed, with how often they are come by at most before
// it is.
var failpoints = map[string]int{
	"stream.received": 3000, "stream.before-status": 20, "stream.after-status": 20,
	"pipeline.before-write": 20, "pipeline.after-write": 20,
	"file.before-write": 20, "file.mid-write": 30, "file.mid-line": 3, "file.after-write": 20, "file.after-fsync": 20,
	"file.rotate.1": 3, "file.rotate.2": 3, "file.rotate.3": 3, "file.rotate.4": 3,
	"file.archive.1": 3, "file.archive.2": 3, "file.archive.3": 3,
	"confirm.before-checkpoint": 10, "confirm.after-checkpoint": 10, "durable.before-rename": 10, "durable.after-rename": 10,
}

// saboteur makes the faults, and keeps the consumer running in spite of them, or two of which one stands by. It works in the
// test's goroutine.
type saboteur struct {
	database *witnesstest.Database
	proxy    *witnesstest.Proxy
	dir      string
	sinks    int  // files
	stdout   bool // whether standard output is a sink as well
	random   *rand.Rand

	replicas  []*replica // one or two, with the same files and the same state directory
	restarted time.Time
	tally     map[string]int
}

// replica is one consumer.
type replica struct {
	*witnesstest.Process
	output output // its standard output
	armed  string // the failpoint it was started with
}

// one is a replica, by lot.
func (s *saboteur) one() int { return s.random.IntN(len(s.replicas)) }

// filePath is the file of the sink with that number.
func (s *saboteur) filePath(sink int) string {
	return filepath.Join(s.dir, fmt.Sprintf("audit%d.jsonl", sink))
}

// start starts the replica with that number, with a failpoint that is armed or with none.
func (s *saboteur) start(t *testing.T, number int, failpoint string) {
	started := &replica{armed: failpoint}
	var sinks []string
	for i := range s.sinks {
		// The first file is always rotated, the others now and then.
		rotation := ""
		if i == 0 || s.random.IntN(2) == 0 {
			rotation = fmt.Sprintf(", rotate_size: %dKiB, compress: %s", 100+s.random.IntN(2000),
				[]string{"none", "gzip", "zstd"}[s.random.IntN(3)])
		}
		sinks = append(sinks, fmt.Sprintf("{type: file, name: file%d, path: %q%s}", i, s.filePath(i), rotation))
	}
	cfg := witnesstest.Config{
		DSN: s.database.DSNThrough(s.proxy), Slot: s.database.Name, Publication: s.database.Name, Dir: s.dir,
		Environ: []string{
			"PGWITNESS_FAILPOINT=" + failpoint,
			// A dead link is given up within a round. The small buffer cuts transactions into many batches.
			"PGWITNESS_SOURCE_RECEIVE_TIMEOUT=3s",
			fmt.Sprintf("PGWITNESS_BUFFER_MAX_BYTES=%dKiB", 256<<s.random.IntN(6)),
		},
	}
	if s.stdout {
		sinks = append(sinks, "{type: stdout}")
		cfg.Stdout = &started.output
	}
	cfg.Sinks = "[" + strings.Join(sinks, ", ") + "]"
	started.Process = witnesstest.Run(t, cfg)
	s.replicas[number] = started
}

// ended looks at what the replica, which has ended, had written to standard output.
func (r *replica) ended(t *testing.T) {
	if r.output.err != nil {
		t.Fatal(r.output.err)
	}
}

// run makes faults until end.
func (s *saboteur) run(t *testing.T, end time.Time, failed <-chan struct{}) {
	for time.Now().Before(end) {
		wait := time.NewTimer(time.Duration(100+s.random.IntN(1200)) * time.Millisecond)
		select {
		case <-wait.C:
			s.fault(t)
		case <-s.replicas[0].Done():
			wait.Stop()
			s.died(t, 0)
			s.start(t, 0, s.lot())
		case <-s.replicas[len(s.replicas)-1].Done():
			wait.Stop()
			s.died(t, len(s.replicas)-1)
			s.start(t, len(s.replicas)-1, s.lot())
		case <-failed:
			wait.Stop()
			return
		}
	}
}

// died takes note of a replica that has ended by itself, which it may do at its failpoint only.
func (s *saboteur) died(t *testing.T, number int) {
	r := s.replicas[number]
	if !r.Killed() || r.armed == "" {
		t.Fatalf("the consumer ended by itself:\n%s", r.Stderr())
	}
	r.ended(t)
	name, _, _ := strings.Cut(r.armed, ":")
	s.tally["kill at "+name]++
	s.tally["kill"]++
}

// lot draws a failpoint, or none.
func (s *saboteur) lot() string {
	if s.random.IntN(3) == 0 {
		return ""
	}
	names := slices.Sorted(maps.Keys(failpoints))
	name := names[s.random.IntN(len(names))]
	lot := fmt.Sprintf("%s:%d", name, 1+s.random.IntN(failpoints[name]))
	if s.random.IntN(2) == 0 {
		lot += ":600ms" // the rest of the process may confirm in that time what it should not
	}
	return lot
}

func (s *saboteur) kill(t *testing.T, number int) {
	r := s.replicas[number]
	r.Kill()
	if r.Killed() && r.armed == "" {
		r.ended(t)
		s.tally["kill"]++
		return
	}
	s.died(t, number) // wherever it came by its failpoint at last
}

// fault makes one fault.
func (s *saboteur) fault(t *testing.T) {
	lot := s.random.IntN(100)
	if lot >= 90 && time.Since(s.restarted) < 8*time.Second {
		lot = 0 // or the server would be down for most of the time
	}
	switch {
	case lot < 45:
		number := s.one()
		s.kill(t, number)
		s.start(t, number, s.lot())
	case lot < 48:
		s.freeze(t)
	case lot < 52:
		number := s.one()
		s.replicas[number].Signal(t, syscall.SIGTERM)
		if code := s.replicas[number].ExitCode(t, 20*time.Second); code == 0 {
			s.replicas[number].ended(t)
			s.tally["SIGTERM"]++
		} else {
			s.died(t, number)
		}
		s.start(t, number, s.lot())
	case lot < 59:
		s.proxy.Reset()
		s.tally["reset"]++
	case lot < 67:
		s.proxy.BlackHole()
		s.tally["black hole"]++
	case lot < 72:
		s.proxy.Delay(time.Duration(s.random.IntN(5)) * time.Millisecond)
		s.tally["delay"]++
	case lot < 82:
		s.proxy.Truncate(s.random.IntN(50_000))
		s.tally["cut"]++
	case lot < 90:
		s.terminate(t)
	case lot < 95:
		s.restart(t, embeddedpg.Fast)
	default:
		s.restart(t, embeddedpg.Immediate)
	}
	if s.random.IntN(3) > 0 { // otherwise what is wrong with the network stays so beyond the next fault
		s.heal(t)
	}
}

func (s *saboteur) heal(t *testing.T) {
	if err := s.proxy.Heal(); err != nil {
		t.Fatal(err)
	}
}

// freeze stops a replica's process for a while, sometimes until the server has lost patience with it.
func (s *saboteur) freeze(t *testing.T) {
	frozen := s.replicas[s.one()]
	frozen.Signal(t, syscall.SIGSTOP)
	pause(t.Context(), time.Duration(s.random.IntN(4000))*time.Millisecond)
	frozen.Signal(t, syscall.SIGCONT)
	s.tally["freeze"]++
}

func (s *saboteur) terminate(t *testing.T) {
	s.database.Exec(t, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND slot_name = '"+s.database.Name+"'")
	s.tally["walsender terminated"]++
}

func (s *saboteur) restart(t *testing.T, mode embeddedpg.Mode) {
	// The server waits for a consumer that it believes in, until wal_sender_timeout.
	s.database.StopServer(t, mode)
	s.database.StartServer(t)
	s.restarted = time.Now()
	s.tally["server restarted, "+string(mode)]++
}

// rest brings the network back in order, and leaves one consumer.
func (s *saboteur) rest(t *testing.T) {
	s.heal(t)
	for number := range s.replicas {
		s.kill(t, number)
	}
	s.replicas = s.replicas[:1]
	s.start(t, 0, "")
}
