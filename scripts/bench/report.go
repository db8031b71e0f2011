package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// report prints results, as text or as Markdown.
type report struct {
	out      io.Writer
	markdown bool
}

func (r report) head(b *bench) error {
	client := ""
	if b.client != "" {
		client = b.client + ", "
	}
	_, err := fmt.Fprintf(r.out, "PostgreSQL %s over TCP, %s%s, %d CPUs, %s/%s\n",
		b.server, client, runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	return err
}

// drain prints what each of the two took for a scenario, and the ratios of each round.
func (r report) drain(s scenario, rows int, rounds []round) error {
	each := func(of func(round) cost, value func(cost) float64) sample {
		values := make([]float64, len(rounds))
		for i, round := range rounds {
			values[i] = value(of(round))
		}
		return values
	}
	ratio := func(value func(cost) float64) sample {
		values := make([]float64, len(rounds))
		for i, round := range rounds {
			values[i] = value(round.pgwitness) / value(round.receiver)
		}
		return values
	}
	ours := func(round round) cost { return round.pgwitness }
	theirs := func(round round) cost { return round.receiver }
	rate := func(c cost) float64 { return float64(rows) / c.wall.Seconds() }
	cpu := func(c cost) float64 { return float64(c.cpu().Microseconds()) / float64(rows) }
	system := func(c cost) float64 { return float64(c.system.Microseconds()) / float64(rows) }
	peak := func(c cost) float64 { return float64(c.peak) / (1 << 20) }
	size := func(c cost) float64 { return float64(c.bytes) / float64(rows) }

	rates, cpus, peaks := ratio(rate), ratio(cpu), each(ours, peak)
	table := [][]string{
		{"", "pgwitness", "pg_recvlogical", "ratio", "target"},
		{"rows/s", each(ours, rate).format("%.0f"), each(theirs, rate).format("%.0f"), rates.format("%.2f"),
			atLeast(rates.median(), s.wantRate, "%.1f ×")},
		{"CPU µs a row", each(ours, cpu).format("%.2f"), each(theirs, cpu).format("%.2f"), cpus.format("%.2f"),
			atMost(cpus.median(), s.wantCPU, "%.1f ×")},
		{"of it in the kernel", each(ours, system).format("%.2f"), each(theirs, system).format("%.2f"), "", ""},
		{"peak RSS, MB", peaks.format("%.1f"), each(theirs, peak).format("%.1f"), "", atMost(slices.Max(peaks), s.wantPeak, "%.0f MB")},
		{"bytes a row", each(ours, size).format("%.0f"), each(theirs, size).format("%.0f"), "", ""},
	}
	return r.table(fmt.Sprintf("(%s) %s: %s rows, %d rounds, median (lowest–highest)", s.letter, s.name, thousands(rows), len(rounds)), table)
}

func (r report) live(results []liveResult) error {
	table := [][]string{{"", "achieved tx/s", "p50 ms", "p99 ms", "fsync idle p50/p99 ms", "fsync under load p50/p99 ms", "CPU %", "peak RSS, MB", "target"}}
	var notes []string
	for _, l := range results {
		verdict := ""
		if l.target {
			verdict = "p50 " + atMost(milliseconds(l.latency.p50), milliseconds(liveWantP50), "%.0f ms") +
				", p99 " + atMost(milliseconds(l.latency.p99), milliseconds(liveWantP99), "%.0f ms")
		}
		table = append(table, []string{
			l.name, fmt.Sprintf("%.0f", l.achieved), fmt.Sprintf("%.2f", milliseconds(l.latency.p50)), fmt.Sprintf("%.2f", milliseconds(l.latency.p99)),
			l.idle.String(), l.busy.String(),
			fmt.Sprintf("%.0f", 100*l.cost.cpu().Seconds()/l.lasted.Seconds()), fmt.Sprintf("%.1f", float64(l.cost.peak)/(1<<20)), verdict,
		})
		notes = append(notes, "- "+l.name+": "+l.note+".")
	}
	if err := r.table(fmt.Sprintf("(d) commit to durable at %s single-row transactions/s", thousands(liveRate)), table); err != nil {
		return err
	}
	_, err := fmt.Fprintf(r.out, "\n%s\n", strings.Join(notes, "\n"))
	return err
}

// capture prints what the works took under each variant. ofMany says that the rows are of one statement, whose rate is told
// rather than its latency.
func (r report) capture(title string, results []captureResult, ofMany bool) error {
	table := [][]string{{"", "µs a transaction", "time, × the seed's", "CPU µs a row", "WAL bytes a row", "target"}}
	if ofMany {
		table[0][1] = "rows/s"
	}
	for _, result := range results {
		for i, v := range captureVariants {
			cells := make([]sample, 4)
			for round, s := range result.spent[i] {
				perRow := func(value float64) float64 { return value / float64(s.rows) }
				speed := perRow(microseconds(s.wall))
				if ofMany {
					speed = float64(s.rows) / s.wall.Seconds()
				}
				for j, value := range []float64{
					speed, s.wall.Seconds() / result.spent[seedVariant][round].wall.Seconds(), perRow(microseconds(s.cpu)), perRow(float64(s.wal)),
				} {
					cells[j] = append(cells[j], value)
				}
			}
			row := []string{result.name + ", " + v.name, cells[0].middle("%.0f"), cells[1].middle("%.2f"), cells[2].middle("%.1f"), cells[3].middle("%.0f"),
				atMost(cells[1].median(), result.want[i], "%.1f ×")}
			if i == seedVariant {
				row[2] = "1"
			}
			if cells[2].median() == 0 {
				row[3] = "" // the system does not tell
			}
			table = append(table, row)
		}
	}
	return r.table(title, table)
}

// table prints rows below a title; the first row is the heading.
func (r report) table(title string, rows [][]string) error {
	var b strings.Builder
	if r.markdown {
		fmt.Fprintf(&b, "\n### %s\n\n", title)
		for i, row := range rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---:|", len(row)-1))
			}
		}
	} else {
		widths := make([]int, len(rows[0]))
		for _, row := range rows {
			for i, cell := range row {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
		fmt.Fprintf(&b, "\n%s\n", title)
		for _, row := range rows {
			line := "  " + row[0] + strings.Repeat(" ", widths[0]-utf8.RuneCountInString(row[0]))
			for i, cell := range row[1:] {
				line += "   " + strings.Repeat(" ", widths[i+1]-utf8.RuneCountInString(cell)) + cell
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	_, err := io.WriteString(r.out, b.String())
	return err
}

// sample is one value a round.
type sample []float64

func (s sample) median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// format returns the median and, where they differ from it, the lowest and the highest value.
func (s sample) format(verb string) string {
	median, lowest, highest := fmt.Sprintf(verb, s.median()), fmt.Sprintf(verb, slices.Min(s)), fmt.Sprintf(verb, slices.Max(s))
	if lowest == highest {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, lowest, highest)
}

// middle returns the median and, where they differ from it, the ends of the middle half: of many short rounds the lowest
// and the highest tell of the machine.
func (s sample) middle(verb string) string {
	sorted, quarter := slices.Sorted(slices.Values(s)), len(s)/4
	return sample{sorted[quarter], s.median(), sorted[len(sorted)-1-quarter]}.format(verb)
}

func atLeast(value, want float64, verb string) string {
	return verdict("≥ ", value >= want, want, verb)
}

func atMost(value, want float64, verb string) string {
	return verdict("≤ ", value <= want, want, verb)
}

func verdict(sign string, met bool, want float64, verb string) string {
	if want == 0 {
		return ""
	}
	mark := " ✗"
	if met {
		mark = " ✓"
	}
	return sign + fmt.Sprintf(verb, want) + mark
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (q quantiles) String() string {
	return fmt.Sprintf("%.2f / %.2f", milliseconds(q.p50), milliseconds(q.p99))
}

// thousands is n with commas.
func thousands(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
