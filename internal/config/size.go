package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written 1048576, 64KiB, 16MiB or 2GiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String returns the shortest exact form, "16MiB".
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if s != 0 && s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText returns what String returns.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText. It takes no KB or MB: half of those who write them mean KiB and MiB.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := string(text), Size(1)
	for _, unit := range sizeUnits {
		if before, ok := strings.CutSuffix(number, unit.suffix); ok {
			number, factor = strings.TrimRight(before, " "), unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/factor) {
		return errors.New("want a size in bytes, KiB, MiB or GiB, such as 1048576 or 16MiB")
	}
	*s = Size(n) * factor
	return nil
}
