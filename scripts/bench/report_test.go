package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	rounds := []round{
		{pgwitness: cost{wall: time.Second, user: time.Second, peak: 30 << 20, bytes: 400_000}, receiver: cost{wall: 2 * time.Second, user: time.Second, bytes: 150_000}},
		{pgwitness: cost{wall: 2 * time.Second, user: time.Second, peak: 34 << 20, bytes: 400_000}, receiver: cost{wall: 2 * time.Second, user: time.Second, bytes: 150_000}},
		{pgwitness: cost{wall: 4 * time.Second, user: 2 * time.Second, peak: 31 << 20, bytes: 400_000}, receiver: cost{wall: 2 * time.Second, user: time.Second, bytes: 150_000}},
	}
	s := scenario{letter: "x", name: "made up", wantRate: 1, wantCPU: 0.5, wantPeak: 32}
	for _, c := range []struct {
		name     string
		markdown bool
		want     []string
	}{
		{"text", false, []string{
			"(x) made up: 1,000 rows, 3 rounds",
			"rows/s   500 (250–1000)   500   1.00 (0.50–2.00)   ≥ 1.0 × ✓",
			"CPU µs a row   1000.00 (1000.00–2000.00)   1000.00   1.00 (1.00–2.00)   ≤ 0.5 × ✗",
			"peak RSS, MB   31.0 (30.0–34.0)   0.0   ≤ 32 MB ✗", // the highest counts
			"bytes a row   400   150",
		}},
		{"Markdown", true, []string{
			"### (x) made up: 1,000 rows, 3 rounds",
			"|---|---:|---:|---:|---:|",
			"| rows/s | 500 (250–1000) | 500 | 1.00 (0.50–2.00) | ≥ 1.0 × ✓ |",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := (report{out: &out, markdown: c.markdown}).drain(s, 1000, rounds); err != nil {
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
}

// squeeze makes one blank of several.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }
