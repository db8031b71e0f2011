package setup

import (
	"strings"
	"testing"
	"time"
)

// Neither the slot nor the publication waits for ever, and who is in the way is named.
func TestLockTimeout(t *testing.T) {
	tests := []struct {
		name    string
		block   string // run by a session called "till", in another database if it does not need the table
		here    bool
		words   []string
		unblock string
		left    string // what is there when Apply has given up: publications and slots
	}{
		{"open transaction", "BEGIN; CREATE TABLE open ()", false,
			[]string{"slot case_", "waited 300ms", `application "till"`, "user postgres", "database template1", "idle in transaction, for "}, "ROLLBACK", "1 0"},
		{"prepared transaction", "BEGIN; CREATE TABLE open (); PREPARE TRANSACTION 'forgotten'", false,
			[]string{"slot case_", `prepared transaction "forgotten" (user postgres, database template1`}, "ROLLBACK PREPARED 'forgotten'", "1 0"},
		{"locked table", "BEGIN; LOCK TABLE audit IN SHARE MODE", true,
			[]string{"publication case_", ".audit: ", `application "till"`}, "ROLLBACK", "0 0"},
		{"table locked by a prepared transaction", "BEGIN; LOCK TABLE audit IN SHARE MODE; INSERT INTO audit VALUES (1); PREPARE TRANSACTION 'forgotten'", true,
			[]string{"publication case_", `prepared transaction "forgotten"`}, "ROLLBACK PREPARED 'forgotten'", "0 0"},
	}
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				cfg := server.schema(t, seedTable)
				till := server.connect(t, "template1")
				if test.here {
					till = connectTo(t, cfg)
				}
				exec(t, till, "SET application_name = 'till'")
				exec(t, till, test.block)

				cfg.LockTimeout = 300 * time.Millisecond
				s := open(t, cfg)
				changed, err := s.Apply(t.Context(), new(strings.Builder))
				checkError(t, err, nil, append(test.words, "run init again")...)
				if !changed {
					t.Error("the role before it was not made")
				}
				left := ask(t, connectTo(t, cfg), `SELECT (SELECT count(*) FROM pg_publication WHERE pubname = current_schema()) || ' ' ||
					(SELECT count(*) FROM pg_replication_slots WHERE slot_name = current_schema())`)
				if left != test.left {
					t.Errorf("publications and slots: %s, want %s", left, test.left)
				}
				exec(t, till, test.unblock)
				cfg.LockTimeout = 10 * time.Second
				apply(t, cfg)
			})
		}
	})
}
