package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pgwitness/internal/witnesstest"
)

// TestDisk takes the disk away from under the sink and from under the checkpoint: nothing is confirmed, which is said
// once, and it goes on by itself.
func TestDisk(t *testing.T) {
	t.Parallel()
	server := start(t, 0, nil)
	limit := func(t *testing.T, p *witnesstest.Process, size uint64) {
		t.Helper()
		if err := unix.Prlimit(p.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	const sinkFails, checkpointFails = "the sink fails", "the checkpoint cannot be written"
	for _, test := range []struct {
		name         string
		fails        string
		break_, mend func(t *testing.T, p *witnesstest.Process, cfg witnesstest.Config)
	}{
		{"full", sinkFails,
			// A limit on the size of files makes write(2) fail as a full disk does, without a mount.
			func(t *testing.T, p *witnesstest.Process, _ witnesstest.Config) { limit(t, p, 3000) },
			func(t *testing.T, p *witnesstest.Process, _ witnesstest.Config) { limit(t, p, unix.RLIM_INFINITY) }},
		{"directory of the file gone", sinkFails,
			func(t *testing.T, _ *witnesstest.Process, cfg witnesstest.Config) {
				rename(t, cfg.Dir+"/files", cfg.Dir+"/gone")
			},
			func(t *testing.T, _ *witnesstest.Process, cfg witnesstest.Config) {
				rename(t, cfg.Dir+"/gone", cfg.Dir+"/files")
			}},
		{"state_dir gone", checkpointFails,
			func(t *testing.T, _ *witnesstest.Process, cfg witnesstest.Config) {
				rename(t, cfg.Dir+"/state", cfg.Dir+"/gone")
			},
			func(t *testing.T, _ *witnesstest.Process, cfg witnesstest.Config) {
				rename(t, cfg.Dir+"/gone", cfg.Dir+"/state")
			}},
		{"state_dir full", checkpointFails,
			func(t *testing.T, p *witnesstest.Process, _ witnesstest.Config) { limit(t, p, 10) },
			func(t *testing.T, p *witnesstest.Process, _ witnesstest.Config) { limit(t, p, unix.RLIM_INFINITY) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := witnesstest.NewDatabase(t, server)
			cfg := d.Config(t)
			if err := os.Mkdir(filepath.Join(cfg.Dir, "files"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("files/audit.jsonl", filepath.Join(cfg.Dir, "audit.jsonl")); err != nil {
				t.Fatal(err)
			}
			cfg.Sinks = "[{type: file, path: " + cfg.Dir + "/files/audit.jsonl}]"
			if test.name == "state_dir full" {
				cfg.Sinks = "[{type: stdout}]"
			}
			p := witnesstest.Run(t, cfg)
			insert(t, d, 1)
			d.AwaitConfirmed(t, soon)

			test.break_(t, p, cfg)
			insert(t, d, 20)
			end := d.Query(t, "SELECT pg_current_wal_insert_lsn()::text")
			p.AwaitLog(t, test.fails, soon)
			insert(t, d, 20)
			// Several attempts later.
			if witnesstest.Poll(soon/20, func() bool {
				return d.Query(t, "SELECT (confirmed_flush_lsn >= '"+end+"')::text FROM pg_replication_slots WHERE slot_name = '"+d.Name+"'") == "true"
			}) {
				t.Error("the slot was confirmed meanwhile")
			}
			test.mend(t, p, cfg)
			d.AwaitConfirmed(t, soon)
			if cfg.Sinks != "[{type: stdout}]" {
				expectTable(t, d, readFile(t, cfg))
			}
			if n := strings.Count(p.Stderr(), test.fails); n != 1 {
				t.Errorf("said %d times:\n%s", n, p.Stderr())
			}
		})
	}
}

// TestSinkGoneAndCheckpointStuck lets a sink go for good while the checkpoint cannot be written: the process does not wait
// for the last confirmation for ever.
func TestSinkGoneAndCheckpointStuck(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, nil))
	out := newStdout(t)
	cfg := d.Config(t)
	cfg.Sinks = "[{type: stdout}]"
	cfg.Stdout = out.writer
	cfg.Environ = []string{"PGWITNESS_SHUTDOWN_GRACE=1s"}
	p := witnesstest.Run(t, cfg)
	insert(t, d, 1)
	d.AwaitConfirmed(t, soon)
	if err := os.Rename(cfg.Dir+"/state", cfg.Dir+"/gone"); err != nil {
		t.Fatal(err)
	}
	insert(t, d, 1)
	p.AwaitLog(t, "the checkpoint cannot be written", soon)
	if err := out.reader.Close(); err != nil {
		t.Fatal(err)
	}
	insert(t, d, 1)
	expectExit(t, p, exitFailed, "standard output was closed by its reader")
}
