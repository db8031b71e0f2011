package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"pgwitness/internal/witnesstest"
)

// audit runs `pgwitness audit` with args and --apply, again and again while a lock cannot be had.
func audit(t *testing.T, d *witnesstest.Database, args ...string) {
	t.Helper()
	var said []byte
	if !witnesstest.Poll(2*soon, func() bool {
		cmd := exec.CommandContext(t.Context(), witnesstest.Binary(t), append(append([]string{"audit"}, args...), "--apply")...)
		cmd.Env = append(os.Environ(), "PGWITNESS_SOURCE_DSN="+d.AdminDSN())
		var err error
		said, err = cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(said), "run it again") {
			t.Fatalf("audit %s: %v\n%s", strings.Join(args, " "), err, said)
		}
		return err == nil
	}) {
		t.Fatalf("audit %s: no lock was to be had; it said last:\n%s", strings.Join(args, " "), said)
	}
}

// TestUpgradeAndUndo goes from the seed to harden, to install, to attach, and back, while an application writes and pgwitness
// follows. Each write of the application succeeds, and comes once.
func TestUpgradeAndUndo(t *testing.T) {
	t.Parallel()
	for _, version := range []int{14, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			d := witnesstest.NewDatabase(t, start(t, version, nil))
			d.Exec(t, `CREATE ROLE application; GRANT ALL ON your_table TO application; GRANT INSERT ON custom_audit_log TO application;
				GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO application`)
			cfg := d.Config(t)
			p := witnesstest.Run(t, cfg)
			d.AwaitActive(t)

			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var (
				writers errgroup.Group
				writes  atomic.Int64
			)
			for writer := range 3 {
				conn := d.Connect(t)
				if _, err := conn.Exec(t.Context(), "SET SESSION AUTHORIZATION application"); err != nil {
					t.Fatal(err)
				}
				writers.Go(func() error {
					for i := writer; ctx.Err() == nil; i += 3 {
						for _, sql := range []string{
							"INSERT INTO your_table VALUES ($1, 'new')", "UPDATE your_table SET column_name = 'changed' WHERE id = $1", "DELETE FROM your_table WHERE id = $1",
						} {
							if _, err := conn.Exec(t.Context(), sql, i); err != nil {
								return fmt.Errorf("%s: %w", sql, err)
							}
							writes.Add(1)
						}
					}
					return nil
				})
			}
			steps := [][]string{
				{"harden"},
				{"harden", "--rewrite"},
				{"install"},
				{"attach", "public.your_table"},
				{"install", "--undo"},
				{"harden", "--undo"},
				{"install"},
				{"install", "--undo"},
			}
			progress := func() {
				t.Helper()
				for before := writes.Load(); !witnesstest.Poll(soon, func() bool { return writes.Load() > before+30 }); {
					t.Fatal("the writers do not go on")
				}
			}
			progress()
			for _, step := range steps {
				audit(t, d, step...)
				progress()
			}
			stop()
			if err := writers.Wait(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-p.Done():
				t.Fatalf("pgwitness has ended:\n%s", p.Stderr())
			default:
			}
			d.AwaitConfirmed(t, soon)

			var want, got []int
			for table := range strings.FieldsSeq(d.Query(t, `SELECT string_agg(oid::regclass::text, ' ') FROM pg_class
				WHERE relname LIKE 'custom_audit_log%' AND relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')`)) {
				for id := range strings.FieldsSeq(d.Query(t, "SELECT coalesce(string_agg(id::text, ' '), '') FROM "+table)) {
					var n int
					if _, err := fmt.Sscan(id, &n); err != nil {
						t.Fatal(err)
					}
					want = append(want, n)
				}
			}
			for _, e := range readFile(t, cfg) {
				if e.Kind != "audit" {
					t.Errorf("a %s event (%s): %s", e.Kind, e.Op, e.Row)
				}
				got = append(got, e.id())
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%d events for %d rows: they differ", len(got), len(want))
			}
			if int64(len(want)) != writes.Load() {
				t.Errorf("%d audit rows for %d writes", len(want), writes.Load())
			}
			if last := len(slices.Compact(want)); last != len(got) {
				t.Errorf("%d ids for %d rows: one was given twice", last, len(got))
			}
			source := d.Query(t, "SELECT prosrc FROM pg_proc WHERE proname = 'custom_audit_trigger_function'")
			if !strings.Contains(source, "'column_name', NEW.column_name") {
				t.Errorf("the seed's function is not back:\n%s", source)
			}
		})
	}
}
