package main

import "testing"

func TestHurried(t *testing.T) {
	tests := []struct{ name, rules, want string }{
		{"for", "for: 5m", "for: 20000ms"},
		{"keep_firing_for", "keep_firing_for: 1h", "keep_firing_for: 240000ms"},
		{"a range", "rate(x[5m])", "rate(x[20000ms])"},
		{"the range and the step of a subquery", "delta((x > 0)[6h:5m])", "delta((x > 0)[1440000ms:20000ms])"},
		{"an offset", "x offset 30m", "x offset 120000ms"},
		{"a day", "last_over_time(x[1d])", "last_over_time(x[5760000ms])"},
		{"never nothing", "for: 0s", "for: 1ms"},
		{"a threshold stays", "time() - x > 300", "time() - x > 300"},
		{"a name stays", "x_5m{le=\"5m\"}", "x_5m{le=\"5m\"}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(hurried([]byte(tt.rules))); got != tt.want {
				t.Errorf("%s becomes %s, want %s", tt.rules, got, tt.want)
			}
		})
	}
}
