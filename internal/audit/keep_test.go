package audit

import "testing"

func TestKeep(t *testing.T) {
	for text, interval := range map[string]string{
		"1d": "1 day", "90d": "90 days", "1mo": "1 month", "12mo": "12 months", "2y": "2 years", "1000y": "1000 years", "012mo": "12 months", "forever": "",
	} {
		var keep Keep
		if err := keep.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := string(keep.interval()); got != interval || keep.Forever() != (interval == "") {
			t.Errorf("%q is %q, want %q", text, got, interval)
		}
		var again Keep
		if err := again.UnmarshalText([]byte(keep.String())); err != nil || again != keep {
			t.Errorf("%q is written as %q, which is read as %v (%v)", text, keep, again, err)
		}
	}
}

// TestNotAKeep has what must not be taken for a time: what it would cost is evidence.
func TestNotAKeep(t *testing.T) {
	for _, text := range []string{
		"", "0", "0d", "00mo", "-1d", "+1d", "12", "d", "mo", "12m", "12 mo", " 12mo", "12mo ", "1.5y", "1e3d", "12MO", "1y6mo", "1h", "1w", "never", "Forever",
		"1001y", "12001mo", "365001d", "9999999d", "99999999999999999999d", "12mo; DROP TABLE x",
	} {
		keep := Keep{7, "d"}
		if err := keep.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, keep)
		} else if keep != (Keep{7, "d"}) {
			t.Errorf("%q is refused, and leaves %v", text, keep)
		}
	}
}
