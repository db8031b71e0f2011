package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTurn(t *testing.T) {
	const n = 4
	first, before := make(map[int]int), make(map[[2]int]int)
	for round := range 2 * n {
		order := turn(round, n)
		first[order[0]]++
		for i, a := range order {
			for _, b := range order[i+1:] {
				before[[2]int{a, b}]++
			}
		}
	}
	for a := range n {
		if first[a] != 2 {
			t.Errorf("variant %d came first %d times of %d", a, first[a], 2*n)
		}
		for b := range n {
			if a != b && before[[2]int{a, b}] != n {
				t.Errorf("variant %d came before %d %d times of %d", a, b, before[[2]int{a, b}], 2*n)
			}
		}
	}
}

func TestReportCapture(t *testing.T) {
	took := func(rows int, walls ...time.Duration) (all []spent) {
		for _, wall := range walls {
			all = append(all, spent{rows: rows, wall: wall * time.Millisecond, cpu: wall * time.Millisecond / 2, wal: int64(rows) * 300})
		}
		return all
	}
	results := []captureResult{{
		captureWork: captureWork{name: "INSERT", want: map[int]float64{2: 1.2, 3: 1}},
		spent: [][]spent{
			took(100, 10, 10, 10, 10, 10),
			took(100, 20, 20, 20, 20, 40),
			took(100, 22, 30, 24, 20, 48), // 1.1, 1.5, 1.2, 1, 1.2 of the seed's in the same round
			took(100, 40, 40, 40, 40, 80),
		},
	}}
	for _, c := range []struct {
		name   string
		ofMany bool
		want   []string
	}{
		{"single rows", false, []string{
			"µs a transaction   time, × the seed's   CPU µs a row   WAL bytes a row   target",
			"INSERT, no trigger   100   0.50   50.0   300",
			"INSERT, the seed's trigger   200   1   100.0   300",
			"INSERT, pgwitness, row mode   240 (220–300)   1.20 (1.10–1.20)   120.0 (110.0–150.0)   300   ≤ 1.2 × ✓",
			"INSERT, pgwitness, statement mode   400   2.00   200.0   300   ≤ 1.0 × ✗",
		}},
		{"many rows", true, []string{
			"rows/s   time, × the seed's   CPU µs a row",
			"INSERT, the seed's trigger   5000   1   100.0",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := (report{out: &out}).capture("made up", results, c.ofMany); err != nil {
				t.Fatal(err)
			}
			got := squeeze(out.String())
			for _, want := range c.want {
				if !strings.Contains(got, squeeze(want)) {
					t.Errorf("the report lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
	t.Run("a system that does not tell the CPU time", func(t *testing.T) {
		for i := range results[0].spent {
			for j := range results[0].spent[i] {
				results[0].spent[i][j].cpu = 0
			}
		}
		var out bytes.Buffer
		if err := (report{out: &out}).capture("made up", results, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(squeeze(out.String()), "INSERT, no trigger 100 0.50 300") {
			t.Errorf("the report tells of CPU time:\n%s", out.String())
		}
	})
}

func TestMiddle(t *testing.T) {
	for _, c := range []struct {
		values sample
		want   string
	}{
		{sample{3}, "3"},
		{sample{9, 1}, "5 (1–9)"},
		{sample{1, 2, 3, 4, 100}, "3 (2–4)"},
		{sample{100, 4, 3, 2, 1, 0, 5, 6}, "4 (2–5)"},
	} {
		if got := c.values.middle("%.0f"); got != c.want {
			t.Errorf("%v.middle() = %q, want %q", c.values, got, c.want)
		}
	}
}
