package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"pgwitness/internal/witnesstest"
)

// TestHardenedWhileStreaming changes the seed's table as `pgwitness audit harden` does, with and without a rewrite, while it
// is written to and followed. A row that is only written again for its new type does not come again.
func TestHardenedWhileStreaming(t *testing.T) {
	t.Parallel()
	for _, version := range []int{14, 18} {
		server := start(t, version, nil)
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			d := witnesstest.NewDatabase(t, server)
			cfg := d.Config(t)
			witnesstest.Run(t, cfg)
			d.AwaitActive(t)

			var writer errgroup.Group
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			conn := d.Connect(t)
			writer.Go(func() error {
				for ctx.Err() == nil {
					if _, err := conn.Exec(t.Context(), "INSERT INTO your_table (column_name) VALUES ('a'), ('b')"); err != nil {
						return err
					}
				}
				return nil
			})
			filenode := "SELECT pg_relation_filenode('custom_audit_log')::text"
			for _, c := range []struct {
				alter    string
				rewrites bool
			}{
				{"ALTER event_type TYPE text, ALTER user_name TYPE text, ALTER table_name TYPE text", false},
				{"ADD COLUMN schema_name text, ADD COLUMN tx_id bigint DEFAULT 7", false},
				{"ALTER event_timestamp TYPE timestamptz", false}, // under TimeZone UTC
				{"ALTER id TYPE bigint", true},
				{"ALTER event_timestamp TYPE timestamp USING event_timestamp AT TIME ZONE 'Asia/Tokyo'", true},
				{"ALTER event_timestamp TYPE timestamptz USING event_timestamp AT TIME ZONE 'Asia/Tokyo'", true},
			} {
				rows := d.Query(t, "SELECT count(*)::text FROM custom_audit_log")
				d.Await(t, "count(*) > "+rows+" FROM custom_audit_log", soon) // each type gets rows of its own
				before := d.Query(t, filenode)
				d.Exec(t, "SET TimeZone = 'UTC'; ALTER TABLE custom_audit_log "+c.alter)
				if rewritten := d.Query(t, filenode) != before; rewritten != c.rewrites {
					t.Errorf("%s rewrites the table: %t", c.alter, rewritten)
				}
			}
			rows := d.Query(t, "SELECT count(*)::text FROM custom_audit_log")
			d.Await(t, "count(*) > "+rows+" FROM custom_audit_log", soon)
			stop()
			if err := writer.Wait(); err != nil {
				t.Fatal(err)
			}
			d.AwaitConfirmed(t, soon)
			events := readFile(t, cfg)
			expectTable(t, d, events)
			var shapes []string
			for _, e := range events {
				shape := fmt.Sprint(e.Kind, " ", e.Op, " +00:00 ", strings.Contains(string(e.Row), `+00:00"`), " tx_id ", strings.Contains(string(e.Row), `"tx_id":7`))
				if len(shapes) == 0 || shapes[len(shapes)-1] != shape {
					shapes = append(shapes, shape)
				}
			}
			want := []string{"audit insert +00:00 false tx_id false", "audit insert +00:00 false tx_id true", "audit insert +00:00 true tx_id true",
				"audit insert +00:00 false tx_id true", "audit insert +00:00 true tx_id true"}
			if got, want := strings.Join(shapes, "\n"), strings.Join(want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
