package demo

import (
	"fmt"
	"strings"
	"testing"
)

// eventLine is an event of the row that id tells, which demo_web or demo_desk wrote.
func eventLine(id, row int, user, lsn string, seq int) string {
	return fmt.Sprintf(`{"id":"%d-x","kind":"audit","op":"insert","lsn":%q,"seq":%d,"row":{"id":%d,"user_name":%q}}`+"\n", id, lsn, seq, row, user)
}

func TestComparison(t *testing.T) {
	const a, b = "demo_web", "demo_desk"
	ordered := eventLine(1, 1, a, "0/10", 0) + eventLine(3, 3, b, "0/10", 1) + eventLine(2, 2, a, "0/20", 0)
	tests := []struct {
		name  string
		lines string
		want  comparison
		lost  int
		same  bool
	}{
		{"the same", ordered, comparison{delivered: 3, transactions: 2}, 0, true},
		{"nothing", "", comparison{}, 3, false},
		{"one lost", strings.SplitAfterN(ordered, "\n", 2)[1], comparison{delivered: 2, transactions: 2}, 1, false},
		{"one invented", ordered + eventLine(9, 9, a, "0/30", 0), comparison{delivered: 4, transactions: 2, invented: 1}, 0, false},
		{"one twice", ordered + eventLine(2, 2, a, "0/30", 0), comparison{delivered: 4, transactions: 2, duplicates: 1}, 0, false},
		{"another row under the same id", eventLine(1, 1, a, "0/10", 0) + eventLine(2, 2, a, "0/20", 0) + strings.Replace(eventLine(3, 3, a, "0/30", 0), "-x", "-y", 1),
			comparison{delivered: 3, transactions: 2, invented: 1}, 1, false},
		{"positions out of order", eventLine(1, 1, a, "0/10", 0) + eventLine(2, 2, a, "0/20", 0) + eventLine(3, 3, b, "0/10", 1),
			comparison{delivered: 3, transactions: 3, disordered: 1}, 0, false},
		{"one position twice", eventLine(1, 1, a, "0/10", 0) + eventLine(2, 2, a, "0/20", 0) + eventLine(3, 3, b, "0/20", 0),
			comparison{delivered: 3, transactions: 2, disordered: 1}, 0, false},
		// Positions that rise do not hide that a connection's second row came first.
		{"a user's rows out of order", eventLine(2, 2, a, "0/10", 0) + eventLine(1, 1, a, "0/20", 0) + eventLine(3, 3, b, "0/30", 0),
			comparison{delivered: 3, transactions: 3, disordered: 1}, 0, false},
		{"tampering beside it", ordered + `{"id":"1-z-0/30/0","kind":"tamper","op":"truncate","lsn":"0/30","seq":0,"row":null}` + "\n",
			comparison{delivered: 3, transactions: 2, tampered: 1}, 0, true},
		{"retention beside it", ordered + `{"id":"1-z-0/30/0","kind":"retention","op":"delete","lsn":"0/30","seq":0,"row":{"id":1}}` + "\n",
			comparison{delivered: 3, transactions: 2, retained: 1}, 0, true},
		{"an incomplete one among them", strings.Replace(ordered, "}}", `},"incomplete":true}`, 1),
			comparison{delivered: 3, transactions: 2, incomplete: 1}, 0, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newComparison()
			for id := 1; id <= 3; id++ {
				c.row(fmt.Sprintf("%d-x", id))
			}
			if err := c.lines([]byte(test.lines)); err != nil {
				t.Fatal(err)
			}
			got := comparison{delivered: c.delivered, transactions: c.transactions, invented: c.invented, duplicates: c.duplicates,
				disordered: c.disordered, tampered: c.tampered, retained: c.retained, incomplete: c.incomplete}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if c.committed != 3 || c.lost() != test.lost || c.same() != test.same {
				t.Errorf("committed %d, lost %d, same %v; want 3, %d, %v", c.committed, c.lost(), c.same(), test.lost, test.same)
			}
		})
	}
	if err := newComparison().lines([]byte("torn\n")); err == nil {
		t.Error("a line that is no event is taken for one")
	}
}
