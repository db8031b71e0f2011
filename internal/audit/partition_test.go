package audit

import (
	"testing"
	"time"
)

// at reads a day, or nothing.
func at(t *testing.T, text string) *time.Time {
	t.Helper()
	if text == "" {
		return nil
	}
	moment, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return &moment
}

func ranges(t *testing.T, bounds [][2]string) []partition {
	t.Helper()
	all := []partition{{Default: true}}
	for _, b := range bounds {
		all = append(all, partition{From: at(t, b[0]), To: at(t, b[1])})
	}
	return all
}

func TestStraysHome(t *testing.T) {
	for name, c := range map[string]struct {
		others      [][2]string
		first, last string
		want        string
	}{
		"no other partition":        {nil, "2026-03-05", "2026-05-31", "2026-03-01 to 2026-06-01"},
		"one moment":                {nil, "2026-12-31", "2026-12-31", "2026-12-01 to 2027-01-01"},
		"the first moment":          {nil, "2026-03-01", "2026-03-01", "2026-03-01 to 2026-04-01"},
		"months around":             {[][2]string{{"2026-01-01", "2026-02-01"}, {"2026-06-01", "2026-07-01"}}, "2026-03-05", "2026-04-01", "2026-03-01 to 2026-05-01"},
		"weeks around":              {[][2]string{{"2026-02-25", "2026-03-04"}, {"2026-03-11", "2026-03-18"}}, "2026-03-04", "2026-03-10", "2026-03-04 to 2026-03-11"},
		"after all that ended":      {[][2]string{{"", "2026-03-04"}}, "2026-03-04", "2026-03-10", "2026-03-04 to 2026-04-01"},
		"before all that comes":     {[][2]string{{"2026-03-11", ""}}, "2026-03-04", "2026-03-10", "2026-03-01 to 2026-03-11"},
		"a partition between":       {[][2]string{{"2026-04-01", "2026-05-01"}}, "2026-03-05", "2026-05-05", ""},
		"a small partition between": {[][2]string{{"2026-03-10", "2026-03-11"}}, "2026-03-05", "2026-03-15", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &strays{First: at(t, c.first), Last: at(t, c.last)}
			home, ok := s.home(ranges(t, c.others))
			got := ""
			if ok {
				got = home.span()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if _, ok := (&strays{First: at(t, "2026-03-05"), Last: at(t, "2026-03-05"), Endless: true}).home(nil); ok {
		t.Error("a row of infinity has a home")
	}
}

func TestGaps(t *testing.T) {
	found := gaps(ranges(t, [][2]string{{"", "2026-01-01"}, {"2026-01-01", "2026-02-01"}, {"2026-03-01", "2026-04-01"}, {"2026-04-15", ""}}))
	if len(found) != 2 || found[0].span() != "2026-02-01 to 2026-03-01" || found[1].span() != "2026-04-01 to 2026-04-15" {
		t.Errorf("got %v", found)
	}
}

func TestExpired(t *testing.T) {
	cut := at(t, "2026-02-01")
	for _, c := range []struct {
		partition partition
		want      bool
	}{
		{partition{From: at(t, "2026-01-01"), To: at(t, "2026-02-01")}, true}, // its end is not in it
		{partition{From: at(t, "2026-01-01"), To: at(t, "2026-02-02")}, false},
		{partition{To: at(t, "2020-01-01")}, true},
		{partition{From: at(t, "2020-01-01")}, false},
		{partition{Default: true}, false},
	} {
		if got := c.partition.expired(cut); got != c.want {
			t.Errorf("%s: %v, want %v", c.partition.span(), got, c.want)
		}
		if c.partition.expired(nil) {
			t.Errorf("%s has expired where all is kept for ever", c.partition.span())
		}
	}
}
