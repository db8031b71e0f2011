package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Group writes a count with a comma between thousands.
func Group[T int | int64 | uint64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	var grouped strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			grouped.WriteByte(',')
		}
		grouped.WriteRune(digit)
	}
	return grouped.String()
}

// Count writes n with the word for one or for many of it.
func Count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Group(n) + " " + many
}

// Size writes a number of bytes as PostgreSQL's settings have it: "812 B", "3.4 kB", "16 MB"; 1 kB is 1024 B.
func Size(bytes int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	value := float64(bytes)
	for value >= 1000 && len(units) > 1 { // "1000 kB" is wider than "1.0 MB"
		value, units = value/1024, units[1:]
	}
	if value < 9.95 && units[0] != "B" {
		return fmt.Sprintf("%.1f %s", value, units[0])
	}
	return fmt.Sprintf("%.0f %s", value, units[0])
}

// Rate writes how many a second: "0.3", "52", "1,204".
func Rate(perSecond float64) string {
	if perSecond != 0 && perSecond < 9.95 {
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return Group(int64(perSecond + .5))
}

// Duration writes how long something takes or is ago, with two units at most: "0.8 ms", "12 s", "3 min 5 s", "2 d 4 h".
func Duration(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(big, small time.Duration, bigUnit, smallUnit string) string {
		text := fmt.Sprintf("%d %s", d/big, bigUnit)
		if rest := d % big / small; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, smallUnit)
		}
		return text
	}
	switch {
	case d >= day:
		return two(day, time.Hour, "d", "h")
	case d >= time.Hour:
		return two(time.Hour, time.Minute, "h", "min")
	case d >= time.Minute:
		return two(time.Minute, time.Second, "min", "s")
	case d >= 10*time.Second || d == 0:
		return fmt.Sprintf("%d s", d/time.Second)
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%.1f ms", max(0, float64(d)/float64(time.Millisecond)))
}
