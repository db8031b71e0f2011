package replication

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgwitness/decoder"
)

func TestParseHistory(t *testing.T) {
	tests := []struct {
		name, content string
		want          []Branch
		fails         bool
	}{
		{"as a server writes it", "1\t0/3000060\tno recovery target specified\n\n2\tA/5000000\tbefore 2026-11-23 08:30:00+00\n",
			[]Branch{{1, 0x3000060}, {2, 0xA05000000}}, false},
		{"a comment, and no reason", "# by hand\n 1 0/10\n", []Branch{{1, 0x10}}, false},
		{"empty", "", nil, false},
		{"no position", "1\n", nil, true},
		{"no timeline", "one\t0/10\n", nil, true},
		{"a file name", "1\t000000010000000000000003\n", nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseHistory([]byte(test.content))
			if (err != nil) != test.fails || !cmp.Equal(got, test.want) {
				t.Errorf("parseHistory: %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

// TestDescends has a server come back on timeline 3, whose history varies.
func TestDescends(t *testing.T) {
	const delivered, confirmed = 0x1000, 0x2000
	now := Origin{SystemID: "7", Timeline: 3, Database: "shop", Slot: "pgwitness"}
	was := now
	was.Timeline = 1
	left := func(at decoder.LSN) []Branch { return []Branch{{1, at}, {2, 0x9000}} }
	tests := []struct {
		name      string
		mark      Mark
		history   []Branch
		want      string      // in the error; empty for none
		confirmed decoder.LSN // where it goes on
	}{
		{"left behind what was confirmed", Mark{was, confirmed, delivered}, left(confirmed + 8), "", confirmed},
		{"left at what was confirmed", Mark{was, confirmed, delivered}, left(confirmed), "", confirmed},
		{"left between what was delivered and what was confirmed", Mark{was, confirmed, delivered}, left(delivered + 8), "", delivered + 8},
		{"left at what was delivered", Mark{was, confirmed, delivered}, left(delivered), "left timeline 1 at 0/1000", 0},
		{"left before what was delivered", Mark{was, confirmed, delivered}, left(delivered - 8), "delivered up to 0/1000", 0},
		{"left before what was confirmed, by a mark of an earlier release", Mark{was, confirmed, 0}, left(confirmed - 8), "delivered up to 0/1FFF", 0},
		{"left at what was confirmed, by a mark of an earlier release", Mark{was, confirmed, 0}, left(confirmed), "", confirmed},
		{"of another descent", Mark{was, confirmed, delivered}, []Branch{{2, 0x9000}}, "does not descend from timeline 1", 0},
		{"of a server that does not know", Mark{was, confirmed, delivered}, nil, "does not descend from timeline 1", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewStream(Config{Previous: func() (*Mark, error) { return &test.mark, nil }})
			if err := s.recall(); err != nil {
				t.Fatal(err)
			}
			err := s.descends(now, test.history)
			switch {
			case test.want == "" && (err != nil || s.Confirmed() != test.confirmed || s.followed().Confirmed != test.confirmed):
				t.Errorf("descends: %v, and the stream goes on at %s, want %s", err, s.Confirmed(), test.confirmed)
			case test.want != "" && (!errors.Is(err, ErrEvidence) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("descends: %v, want an ErrEvidence that says %q", err, test.want)
			}
			// A Stream's own positions are of the timeline it began on.
			s.connected, s.mark = true, test.mark
			empty := ""
			s.publication.Store(&empty)
			if err := s.descends(now, test.history); !errors.Is(err, ErrStale) {
				t.Errorf("descends of a stream that has streamed: %v, want an ErrStale", err)
			}
		})
	}
}

// TestAvailable has a slot at several positions, with and without a consumer, be found by who knows more or less of it.
func TestAvailable(t *testing.T) {
	const walsender, other = 100, 200
	origin := Origin{SystemID: "7", Timeline: 1, Database: "shop", Slot: "pgwitness"}
	mark := &Mark{Origin: origin, Confirmed: 0x1000}
	seen := func(s *Stream) { s.seen = &Mark{Origin: origin, Confirmed: 0x1800} }
	streamed := func(s *Stream) {
		s.connected, s.walsender, s.mark = true, walsender, *mark
		empty := ""
		s.publication.Store(&empty)
	}
	tests := []struct {
		name      string
		previous  *Mark
		change    func(*Stream)
		confirmed decoder.LSN // the slot's
		pid       uint32      // of its consumer; 0 for none
		peer      bool
		want      error // nil for a slot that can be streamed from
	}{
		{"free", mark, nil, 0x1000, 0, false, nil},
		{"free, and nothing is known", nil, nil, 0x2000, 0, false, nil},
		{"free and moved", mark, nil, 0x2000, 0, false, ErrEvidence},
		{"free and moved, after a peer was seen to have it", mark, seen, 0x2000, 0, false, nil},
		{"free and moved, while the checkpoint is the peer's too", &Mark{Origin: origin, Confirmed: 0x1900}, seen, 0x2000, 0, false, ErrEvidence},
		{"a peer's", mark, nil, 0x1000, other, true, errBusy},
		{"a peer's, moved", mark, nil, 0x2000, other, true, errBusy},
		{"a stranger's", mark, nil, 0x1000, other, false, errBusy},
		{"a stranger's, moved", mark, nil, 0x2000, other, false, ErrEvidence},
		{"our own still", mark, streamed, 0x1000, walsender, true, errHeld},
		{"taken by a peer", mark, streamed, 0x1000, other, true, ErrStale},
		{"taken by a stranger", mark, streamed, 0x1000, other, false, ErrStale},
		{"taken and left again", mark, streamed, 0x2000, 0, false, ErrStale},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewStream(Config{Previous: func() (*Mark, error) { return test.previous, nil }})
			if err := s.recall(); err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				test.change(s)
			}
			cat := parseCatalog(t, healthy)
			cat.Slot.ConfirmedFlush, cat.Slot.Active, cat.Slot.ActivePID, cat.Slot.Peer = test.confirmed, test.pid != 0, test.pid, test.peer
			if err := s.available(origin, cat, identity{}); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("available: %v, want %v", err, test.want)
			}
		})
	}
}
