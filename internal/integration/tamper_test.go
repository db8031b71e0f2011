package integration

import (
	"fmt"
	"strings"
	"testing"

	"pgwitness/internal/witnesstest"
)

// TestSharedPublication follows a publication that holds other tables and other operations too.
func TestSharedPublication(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewBareDatabase(t, start(t, 0, nil))
	d.Exec(t, "CREATE PUBLICATION "+d.Name+" FOR TABLE your_table, custom_audit_log")
	d.CreateSlot(t)
	cfg := d.Config(t)
	witnesstest.Run(t, cfg)
	d.Exec(t, "INSERT INTO your_table (column_name) VALUES ('a')")
	d.Exec(t, "UPDATE your_table SET column_name = 'b'")
	d.Exec(t, "DELETE FROM your_table")
	d.Exec(t, "TRUNCATE your_table")
	d.Exec(t, "UPDATE custom_audit_log SET user_name = 'nobody' WHERE id = 1")
	d.Exec(t, "DELETE FROM custom_audit_log WHERE id = 2")
	d.Exec(t, "TRUNCATE custom_audit_log")
	d.AwaitConfirmed(t, soon)
	var got []string
	for _, e := range readFile(t, cfg) {
		got = append(got, fmt.Sprint(e.Kind, " ", e.Op, " ", e.id()))
	}
	want := "audit insert 1, audit insert 2, audit insert 3, tamper update 1, tamper delete 2, tamper truncate 0"
	if joined := strings.Join(got, ", "); joined != want {
		t.Errorf("got  %s\nwant %s", joined, want)
	}
}
