package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"pgwitness/internal/embeddedpg"
)

// scene is something that breaks, and how it is mended.
type scene struct {
	name string
	// broken says what is done; break_ does it, on the real thing.
	broken string
	break_ func(*world, context.Context) error
	// fires are the alerts that must fire then. Others may.
	fires []string
	// mended says what is done; mend does it. After that the alerts must be resolved.
	mended string
	mend   func(*world, context.Context) error
}

// usual are the scenes that are played without being asked for; the first of them takes the hour that an alert on tampering
// lasts, hurried, and is resolved while the others play.
var usual = []string{"tamper", "sink", "limit"}

var scenes = []scene{
	{
		name:   "tamper",
		broken: "an audit row is deleted",
		break_: func(w *world, ctx context.Context) error {
			return w.exec(ctx, "DELETE FROM custom_audit_log WHERE id = (SELECT min(id) FROM custom_audit_log)")
		},
		fires: []string{"PgwitnessTampering"},
	},
	{
		name:   "sink",
		broken: "the directory of the file sink is gone, as if its disk had been unmounted",
		break_: (*world).takeSink,
		fires:  []string{"PgwitnessSinkFailing"},
		mended: "the directory is back",
		mend:   (*world).giveSink,
	},
	{
		name:   "limit",
		broken: fmt.Sprintf("the directory is gone again, and %d MiB of WAL are written, twice max_slot_wal_keep_size", 2*keepSize),
		break_: (*world).exceed,
		fires:  []string{"PgwitnessSlotNearLimit"},
		mended: "the directory is back, before a checkpoint invalidates the slot",
		mend:   (*world).giveSink,
	},
	{
		name:   "lost",
		broken: "the same, and a checkpoint",
		break_: func(w *world, ctx context.Context) error {
			if err := w.exceed(ctx); err != nil {
				return err
			}
			return w.exec(ctx, "CHECKPOINT")
		},
		fires:  []string{"PgwitnessSlotLost", "PgwitnessAuditRowsMissing"},
		mended: "the directory is back; the slot is made anew, and the checkpoint of the old one is put away",
		mend: func(w *world, ctx context.Context) error {
			if err := w.giveSink(ctx); err != nil {
				return err
			}
			w.pgwitness.end()
			for _, sql := range []string{"SELECT pg_drop_replication_slot('pgwitness')", createSlot} {
				if err := w.exec(ctx, sql); err != nil {
					return err
				}
			}
			if err := os.Rename(filepath.Join(w.dir, "state"), filepath.Join(w.dir, "state-before")); err != nil {
				return err
			}
			return w.startPgwitness(ctx)
		},
	},
	{
		name:   "stop",
		broken: "PostgreSQL is stopped",
		break_: func(w *world, ctx context.Context) error { return w.server.Stop(ctx, embeddedpg.Fast) },
		fires:  []string{"PgwitnessStreamDead"},
		mended: "PostgreSQL is started",
		mend:   func(w *world, ctx context.Context) error { return w.server.Start(ctx) },
	},
	{
		name:   "kill",
		broken: "pgwitness is killed",
		break_: func(w *world, _ context.Context) error {
			err := w.pgwitness.cmd.Process.Kill()
			<-w.pgwitness.ended
			return err
		},
		fires:  []string{"PgwitnessDown"},
		mended: "pgwitness is started",
		mend:   (*world).startPgwitness,
	},
	{
		name:   "nulls",
		broken: "a row is deleted under the tutorial's trigger, which writes nothing but nulls then",
		break_: func(w *world, ctx context.Context) error {
			return w.exec(ctx, "DELETE FROM your_table WHERE id = (SELECT min(id) FROM your_table)")
		},
		fires: []string{"PgwitnessIncompleteEvents"},
	},
}

// takeSink takes the directory away that the file sink writes to. The file that it has open moves along, which it notices.
func (w *world) takeSink(context.Context) error {
	return os.Rename(filepath.Join(w.dir, "sink"), filepath.Join(w.dir, "gone"))
}

func (w *world) giveSink(context.Context) error {
	return os.Rename(filepath.Join(w.dir, "gone"), filepath.Join(w.dir, "sink"))
}

// exceed has nothing confirmed while more WAL is written than the slot may retain.
func (w *world) exceed(ctx context.Context) error {
	if err := w.takeSink(ctx); err != nil {
		return err
	}
	return w.exec(ctx, fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP
		PERFORM pg_logical_emit_message(false, 'filler', repeat('x', 1024 * 1024));
	END LOOP; END $$`, 2*keepSize))
}

// play plays a scene. What it breaks without mending is over by itself.
func (w *world) play(ctx context.Context, s scene) error {
	w.say("BREAK", "%s", s.broken)
	if err := s.break_(w, ctx); err != nil {
		return err
	}
	for _, name := range s.fires {
		var fires alert
		if err := w.await(ctx, name+" fires", func(firing map[string]alert) (fired bool) {
			fires, fired = firing[name]
			return fired
		}); err != nil {
			return err
		}
		w.say("FIRES", "%s (%s): %s", name, fires.Labels["severity"], fires.Annotations["summary"])
	}
	if s.mend == nil {
		return nil
	}
	w.say("MEND", "%s", s.mended)
	if err := s.mend(w, ctx); err != nil {
		return err
	}
	for _, name := range s.fires {
		if err := w.await(ctx, name+" is resolved", func(firing map[string]alert) bool {
			_, fired := firing[name]
			return !fired
		}); err != nil {
			return err
		}
		w.say("RESOLVED", "%s", name)
	}
	return nil
}
