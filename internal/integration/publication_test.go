package integration

import (
	"strconv"
	"strings"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/witnesstest"
)

// TestPublication takes the table out of the publication in every way there is. From PostgreSQL 18 on the server then goes
// on without a word and without the rows; before, it ends the stream with an error at the next change.
func TestPublication(t *testing.T) {
	t.Parallel()
	for _, version := range []int{17, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			server := start(t, version, nil)
			for name, sql := range map[string]string{
				"dropped":                      "DROP PUBLICATION pub",
				"dropped and made again":       "BEGIN; DROP PUBLICATION pub; CREATE PUBLICATION pub FOR TABLE custom_audit_log; COMMIT",
				"table taken out":              "ALTER PUBLICATION pub DROP TABLE custom_audit_log",
				"table taken out and put back": "BEGIN; ALTER PUBLICATION pub DROP TABLE custom_audit_log; ALTER PUBLICATION pub ADD TABLE custom_audit_log; COMMIT",
				"inserts taken out":            "ALTER PUBLICATION pub SET (publish = 'truncate')",
				"rows filtered":                "ALTER PUBLICATION pub SET TABLE custom_audit_log WHERE (id < 10)",
				"table dropped":                "DROP TABLE custom_audit_log CASCADE",
				"table renamed":                "ALTER TABLE custom_audit_log RENAME TO hidden",
			} {
				for _, streaming := range []bool{true, false} {
					t.Run(name+map[bool]string{true: " while streaming", false: " while stopped"}[streaming], func(t *testing.T) {
						t.Parallel()
						d := witnesstest.NewDatabase(t, server)
						d.Exec(t, "ALTER PUBLICATION "+d.Name+" RENAME TO pub")
						cfg := d.Config(t)
						cfg.Publication = "pub"
						deliver(t, d, cfg)
						if streaming {
							p := witnesstest.Run(t, cfg)
							d.AwaitActive(t)
							insert(t, d, 3)
							want := d.Query(t, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM custom_audit_log")
							d.Exec(t, sql)
							expectExit(t, p, exitEvidence, "0/")
							expectIDs(t, readFile(t, cfg), want)
						} else {
							d.Exec(t, sql)
							expectExit(t, witnesstest.Run(t, cfg), exitEvidence, "0/")
						}
					})
				}
			}
			// The rows between slot and publication cannot be had.
			t.Run("made after the slot", func(t *testing.T) {
				t.Parallel()
				d := witnesstest.NewBareDatabase(t, server)
				d.CreateSlot(t)
				insert(t, d, 1)
				d.Exec(t, "CREATE PUBLICATION "+d.Name+" FOR TABLE custom_audit_log")
				insert(t, d, 1)
				expectExit(t, witnesstest.Run(t, d.Config(t)), exitSetup, "publication", "older than the slot", "pgwitness init")
			})
		})
	}
}

// TestAlteredTable delivers rows from before the table was altered: they are what they were when they were written.
func TestAlteredTable(t *testing.T) {
	t.Parallel()
	const before = `{"id":1,"event_type":"INSERT","event_timestamp":null,"user_name":"app","table_name":"orders","row_data":{}}`
	for _, version := range embeddedpg.Versions() {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			server := start(t, version, nil)
			for _, test := range []struct{ alter, after string }{
				{"DROP COLUMN event_type", `{"id":2,"event_timestamp":null,"user_name":null,"table_name":"t","row_data":null}`},
				{"ADD COLUMN more int DEFAULT 7", `{"id":2,"event_type":null,"event_timestamp":null,"user_name":null,"table_name":"t","row_data":null,"more":7}`},
				{"ALTER COLUMN id TYPE bigint", `{"id":2,"event_type":null,"event_timestamp":null,"user_name":null,"table_name":"t","row_data":null}`},
				{"RENAME COLUMN user_name TO who", `{"id":2,"event_type":null,"event_timestamp":null,"who":null,"table_name":"t","row_data":null}`},
			} {
				t.Run(test.alter, func(t *testing.T) {
					t.Parallel()
					d := witnesstest.NewDatabase(t, server)
					d.Exec(t, "INSERT INTO custom_audit_log (event_type, user_name, table_name, row_data) VALUES ('INSERT', 'app', 'orders', '{}')")
					d.Exec(t, "ALTER TABLE custom_audit_log "+test.alter)
					d.Exec(t, "INSERT INTO custom_audit_log (table_name) VALUES ('t')")
					cfg := d.Config(t)
					witnesstest.Run(t, cfg)
					d.AwaitConfirmed(t, soon)
					var rows []string
					for _, e := range readFile(t, cfg) {
						rows = append(rows, string(e.Row))
					}
					if got, want := strings.Join(rows, "\n"), before+"\n"+test.after; got != want {
						t.Errorf("got\n%s\nwant\n%s", got, want)
					}
				})
			}
		})
	}
}
