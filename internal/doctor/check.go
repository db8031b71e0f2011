package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// check is one thing to look at.
type check struct {
	id    string // a word that stays
	area  Area
	needs part   // without it the check is not made
	why   string // what follows if it is not ok
	run   func(*facts) finding
}

// find makes the check, if there is what it needs.
func (c check) find(f *facts) finding {
	if out, absent := f.absent[c.needs]; absent {
		return out
	}
	return c.run(f)
}

// finding is how a check came out.
type finding struct {
	status    Status
	text, fix string
}

// checks are all checks, by area.
func checks() []check {
	return slices.Concat(setupChecks, captureChecks, securityChecks, performanceChecks, retentionChecks)
}

func ok(format string, args ...any) finding {
	return finding{status: OK, text: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) finding {
	return finding{status: Skipped, text: fmt.Sprintf(format, args...)}
}

func warning(fix, format string, args ...any) finding {
	return finding{Warning, fmt.Sprintf(format, args...), fix}
}

func problem(fix, format string, args ...any) finding {
	return finding{Problem, fmt.Sprintf(format, args...), fix}
}

func unknown(fix, format string, args ...any) finding {
	return finding{Unknown, fmt.Sprintf(format, args...), fix}
}

// few names the first of many.
func few(names []string) string {
	const most = 4
	if more := len(names) - most; more > 1 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

// count is a number with its noun.
func count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// verb is count with the verb that it takes, in the singular and the plural.
func verb(n int, noun, one, many string) string {
	if n == 1 {
		return count(n, noun) + " " + one
	}
	return count(n, noun) + " " + many
}

// unique sorts names and leaves each once.
func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

const (
	mebi = 1 << 20
	gibi = 1 << 30
)

// size is a number of bytes as people read it.
func size(bytes int64) string {
	switch {
	case bytes >= 10*gibi:
		return fmt.Sprintf("%d GB", bytes/gibi)
	case bytes >= gibi:
		return fmt.Sprintf("%.1f GB", float64(bytes)/gibi)
	case bytes >= mebi:
		return fmt.Sprintf("%d MB", bytes/mebi)
	}
	return fmt.Sprintf("%d kB", (bytes+1023)>>10)
}

// age is how long something lasts, as people read it.
func age(seconds float64) string {
	const day = 24 * time.Hour
	d := time.Duration(min(seconds, 1e9) * float64(time.Second))
	switch {
	case d >= 3*365*day:
		return fmt.Sprintf("%d years", d/(365*day))
	case d >= 3*30*day:
		return fmt.Sprintf("%d months", d/(30*day))
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
