package replication

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestIdentityIsReadAsItIsWritten(t *testing.T) {
	for _, text := range []string{"1/2", "1/2,3,4", "4294967295/t4294967295", "1/t2,t3", "1/t2,3"} {
		if got := parseIdentity(text).String(); got != text {
			t.Errorf("%s is read as %s", text, got)
		}
	}
	// As earlier releases wrote it.
	if got := parseIdentity("16402"); got.publication != 16402 || got.members != nil {
		t.Errorf("16402 is read as %+v", got)
	}
	for _, text := range []string{"", "/", "x", "-1", "4294967296", "1,2"} {
		if got := parseIdentity(text); got.publication != 0 && got.members[0].oid != 0 || got.members == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

func TestTablesMetInTheStreamAreRemembered(t *testing.T) {
	s := NewStream(Config{})
	now, ok := s.follow(parseCatalog(t, healthy), identity{})
	if !ok || s.Publication() != "16400/16401" {
		t.Fatalf("remembered is %s", now)
	}
	s.meet(16500)
	s.meet(16501)
	const want = "16400/16401,t16500,t16501"
	if got := s.Publication(); got != want {
		t.Errorf("remembered is %s, want %s", got, want)
	}
	cat := parseCatalog(t, healthy)
	now, ok = s.follow(cat, parseIdentity(want))
	if got := s.Publication(); !ok || got != want || !slices.Equal(cat.former(now), []uint32{16500, 16501}) {
		t.Errorf("after another look it is %s, with the tables %d", got, cat.former(now))
	}
}

func TestFollow(t *testing.T) {
	// The publication 16400 holds the table 16385 by the entry 16401.
	const own = `"member": {"oid": "16401", "prqual": null, "prattrs": null}`
	founding := strings.TrimSuffix(own, "}") + `, "founding": true}`
	const all = `"member": null`
	entries := func(oids ...int) string {
		var all []string
		for _, oid := range oids {
			all = append(all, fmt.Sprintf(`{"oid": %d, "table": %d}`, oid, oid+50_000))
		}
		return `, "entries": [` + strings.Join(all, ",") + "]"
	}
	tests := []struct {
		name   string
		was    string // "" for nothing
		now    string
		want   string // what is remembered; "" for a refusal
		former []uint32
		logs   string
	}{
		{"the first time", "", own, "16400/16401", nil, ""},
		{"no identity", "damaged", own, "", nil, ""},
		{"the same", "16400/16401", own + entries(16401), "16400/16401", nil, ""},
		{"another publication", "16399/16401", founding + entries(16401), "", nil, ""},
		{"another entry", "16400/16300", own, "", nil, ""},
		{"another entry of a table made with it", "16400/16300", founding, "", nil, ""},
		{"another table", "16400/16300", own + entries(16300), "", nil, ""},
		{"another table, published since it was made", "16400/16300", founding + entries(16300), "16400/16401,16300", []uint32{66300}, "level=INFO"},
		{"and another one", "16400/16301,16300", founding + entries(16300, 16301), "16400/16401,16301,16300", []uint32{66301, 66300}, "level=INFO"},
		{"the one before, again", "16400/16500,16401", own + entries(16500, 16401), "16400/16401,16500", []uint32{66500}, "level=INFO"},
		{"the one before, and the other has gone", "16400/16500,16401", own + entries(16401), "", nil, ""},
		{"the one before has gone", "16400/16401,16300", own + entries(16401), "16400/16401", nil, "level=WARN"},
		{"the one before the last has gone", "16400/16301,16300", founding + entries(16301), "16400/16401,16301", []uint32{66301}, "level=INFO.*level=WARN"},
		{"one that was met before it was looked up", "16400/16300,t16385", founding + entries(16300), "16400/16401,16300,t16385", []uint32{66300}, "level=INFO"},
		{"all tables", "16400/t16385", all, "16400/t16385", nil, ""},
		{"all tables, as it was remembered once", "16400", all, "16400/t16385", nil, ""},
		{"another one of all tables", "16400/t16300", all, "16400/t16385,t16300", []uint32{16300}, "level=INFO"},
		{"all tables no more", "16400/t16385", founding, "", nil, ""},
		{"all tables no more, as it was remembered once", "16400", own, "", nil, ""},
		{"all tables now", "16400/16401", all + entries(16401), "", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log strings.Builder
			s := NewStream(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			cat := parseCatalog(t, strings.Replace(healthy, own, test.now, 1))
			var was identity
			if test.was != "" {
				was = parseIdentity(test.was)
			}
			for range 2 { // it is told once
				now, ok := s.follow(cat, was)
				if ok != (test.want != "") {
					t.Fatalf("follow: %t", ok)
				}
				if ok && (now.String() != test.want || s.Publication() != test.want || !slices.Equal(cat.former(now), test.former)) {
					t.Errorf("remembered is %s, then %s with the tables %d; want %s with %d", now, s.Publication(), cat.former(now), test.want, test.former)
				}
			}
			var levels []string
			for line := range strings.Lines(log.String()) {
				levels = append(levels, strings.Fields(line)[1])
			}
			if got := strings.Join(levels, ".*"); got != test.logs {
				t.Errorf("logged:\n%s", &log)
			}
		})
	}
}
