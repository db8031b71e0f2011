package terminal

import (
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	tests := []struct{ got, want string }{
		{Group(0), "0"}, {Group(999), "999"}, {Group(1000), "1,000"}, {Group(uint64(1234567)), "1,234,567"},
		{Count(1, "row", "rows"), "1 row"}, {Count(0, "row", "rows"), "0 rows"}, {Count(1200, "row", "rows"), "1,200 rows"},
		{Size(0), "0 B"}, {Size(999), "999 B"}, {Size(1000), "1.0 kB"}, {Size(16 << 10), "16 kB"}, {Size(10100), "9.9 kB"},
		{Size(10200), "10 kB"}, {Size(16 << 20), "16 MB"}, {Size(3 << 29), "1.5 GB"}, {Size(5 << 50), "5.0 PB"}, {Size(2000 << 50), "2000 PB"},
		{Rate(0), "0"}, {Rate(0.04), "0.0"}, {Rate(9.94), "9.9"}, {Rate(9.96), "10"}, {Rate(1203.6), "1,204"},
		{Duration(0), "0 s"}, {Duration(-time.Second), "0.0 ms"}, {Duration(840 * time.Microsecond), "0.8 ms"},
		{Duration(12 * time.Millisecond), "12 ms"}, {Duration(1500 * time.Millisecond), "1.5 s"}, {Duration(59 * time.Second), "59 s"},
		{Duration(time.Minute), "1 min"}, {Duration(185 * time.Second), "3 min 5 s"}, {Duration(time.Hour + time.Second), "1 h"},
		{Duration(52*time.Hour + time.Minute), "2 d 4 h"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("written %q, want %q", tt.got, tt.want)
		}
	}
}
