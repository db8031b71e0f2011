package sink_test

import (
	"errors"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/sink"
)

func TestContinues(t *testing.T) {
	earlier := sink.Origin{SystemID: "7", Timeline: 1, Database: "shop", Slot: "pgwitness"}
	const last = decoder.LSN(0x1000)
	left := func(at decoder.LSN) []sink.Branch {
		return []sink.Branch{{Timeline: 1, At: at}, {Timeline: 2, At: 0x9000}}
	}
	tests := []struct {
		name string
		now  func(*sink.Origin)
		want string // in the error; empty for none
	}{
		{"the same", func(*sink.Origin) {}, ""},
		{"another cluster", func(o *sink.Origin) { o.SystemID = "8" }, "on cluster 7"},
		{"another database", func(o *sink.Origin) { o.Database = "hr" }, "database shop"},
		{"another slot", func(o *sink.Origin) { o.Slot = "other" }, "slot pgwitness"},
		{"a timeline that begins after the last event", func(o *sink.Origin) { o.Timeline, o.History = 3, left(last+1) }, ""},
		// The first record of the new timeline begins where it was left: the event's commit is not on it.
		{"a timeline that begins at the last event", func(o *sink.Origin) { o.Timeline, o.History = 3, left(last) }, "left that timeline at 0/1000"},
		{"a timeline of which nothing is known", func(o *sink.Origin) { o.Timeline = 3 }, "does not descend"},
		{"a timeline of another descent", func(o *sink.Origin) {
			o.Timeline, o.History = 3, []sink.Branch{{Timeline: 2, At: 0x9000}}
		}, "does not descend"},
		{"another cluster's timeline", func(o *sink.Origin) { o.SystemID, o.Timeline, o.History = "8", 3, left(last+1) }, "on cluster 7"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			now := earlier
			test.now(&now)
			err := now.Continues(earlier, decoder.Position{LSN: last, Seq: 5})
			switch {
			case test.want == "" && err != nil:
				t.Errorf("Continues: %v", err)
			case test.want != "" && (!errors.Is(err, sink.ErrForeign) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("Continues: %v, want an ErrForeign that says %q", err, test.want)
			}
		})
	}
	if err := (sink.Origin{Timeline: 2}).Continues(sink.Origin{Timeline: 3}, decoder.Position{}); !errors.Is(err, sink.ErrForeign) {
		t.Errorf("Continues on an earlier timeline: %v, want an ErrForeign", err)
	}
}
