package metrics

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestStates(t *testing.T) {
	tests := []struct {
		name string
		do   func(*Metrics)
		want string
	}{
		{"new", func(*Metrics) {}, "active 0, source_connected 0, standby 0"},
		{"the database is away", func(m *Metrics) { m.Reconnect("refused") }, "active 0, source_connected 0, standby 0"},
		{"the catalog answers", func(m *Metrics) { m.Answering(true) }, "active 0, source_connected 1, standby 0"},
		{"the catalog hangs while it streams", func(m *Metrics) { m.Streaming(true) }, "active 1, source_connected 1, standby 0"},
		{"another consumer has the slot", func(m *Metrics) {
			m.Answering(true)
			m.Reconnect("slot_busy")
		}, "active 0, source_connected 1, standby 1"},
		{"it takes over", func(m *Metrics) {
			m.Reconnect("slot_busy")
			m.Streaming(true)
		}, "active 1, source_connected 1, standby 0"},
		{"the run has ended", func(m *Metrics) {
			m.Answering(true)
			m.Reconnect("slot_busy")
			m.Ended(3)
		}, "active 0, source_connected 0, standby 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := New(Config{})
			tt.do(m)
			shown, got := own(t, m), ""
			for _, name := range []string{"active", "source_connected", "standby"} {
				value := shown["pgwitness_"+name].GetMetric()[0].GetGauge().GetValue()
				got += ", " + name + map[float64]string{0: " 0", 1: " 1"}[value]
			}
			if got := got[2:]; got != tt.want {
				t.Errorf("it shows %s, want %s", got, tt.want)
			}
		})
	}
}

// A run that has ended is not ready, and no restart would mend what ended it.
func TestEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{})
		m.Streaming(false)
		m.Ended(4)
		expect(t, m, `
pgwitness_run_ended{exit_code="3"} 0
pgwitness_run_ended{exit_code="4"} 1
`)
		time.Sleep(time.Hour)
		if err := m.Healthy(); err != nil {
			t.Errorf("it is not healthy: %v", err)
		}
		if said, err := m.Ready(); err == nil {
			t.Errorf("it is ready: %s", said)
		}
	})
}

func TestLastEvent(t *testing.T) {
	m := New(Config{})
	m.Durable(decode(t, 0x1000, row("INSERT", "app", "orders")), 0x1030)
	m.Durable(nil, 0x2000)
	expect(t, m, "pgwitness_last_event_timestamp_seconds 1.795422600123e+09")
}
