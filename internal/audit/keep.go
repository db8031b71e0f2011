package audit

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// Keep is how long audit rows are kept. The zero Keep is for ever.
type Keep struct {
	count int
	unit  string // of keepUnits
}

// keepUnits are the units of a Keep, and what PostgreSQL calls them.
var keepUnits = map[string]string{"d": "day", "mo": "month", "y": "year"}

// mostYears bounds a Keep. A longer one is a mistake, and far beyond it the calendar ends.
const mostYears = 1000

var (
	keepPattern = regexp.MustCompile(`^([0-9]{1,6})(d|mo|y)$`)
	errKeep     = errors.New(`want days, months or years, such as 90d, 12mo or 2y, or "forever"`)
)

// UnmarshalText reads 90d, 12mo, 2y or forever. Nothing is no time: nobody means that all is to go.
func (k *Keep) UnmarshalText(text []byte) error {
	if string(text) == "forever" {
		*k = Keep{}
		return nil
	}
	match := keepPattern.FindStringSubmatch(string(text))
	if match == nil {
		return errKeep
	}
	count, err := strconv.Atoi(match[1])
	most := map[string]int{"d": mostYears * 365, "mo": mostYears * 12, "y": mostYears}[match[2]]
	if err != nil || count == 0 || count > most {
		return fmt.Errorf("%w; at least 1d and at most %dy", errKeep, mostYears)
	}
	*k = Keep{count, match[2]}
	return nil
}

// MarshalText returns what UnmarshalText reads.
func (k Keep) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// String returns what UnmarshalText reads.
func (k Keep) String() string {
	if k.Forever() {
		return "forever"
	}
	return strconv.Itoa(k.count) + k.unit
}

// Forever says that no row expires.
func (k Keep) Forever() bool { return k.count == 0 }

// interval is k for SQL, nil for ever.
func (k Keep) interval() []byte {
	if k.Forever() {
		return nil
	}
	text := fmt.Sprintf("%d %s", k.count, keepUnits[k.unit])
	if k.count > 1 {
		text += "s"
	}
	return []byte(text)
}

// prose is k for people.
func (k Keep) prose() string {
	if k.Forever() {
		return "for ever"
	}
	return "for " + string(k.interval())
}
