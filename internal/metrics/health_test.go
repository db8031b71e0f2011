package metrics

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReady(t *testing.T) {
	m := New(Config{})
	check := func(ready bool, want string) {
		t.Helper()
		said, err := m.Ready()
		if err != nil {
			said = err.Error()
		}
		if (err == nil) != ready || !strings.Contains(said, want) {
			t.Errorf("Ready says %q (%v), want %q (%v)", said, err == nil, want, ready)
		}
	}
	check(false, "not streaming yet")
	m.Reconnect("refused")
	check(false, "refused")
	m.Streaming(true)
	check(true, "streaming")
	m.Streaming(false)
	m.Reconnect("shutdown")
	check(false, "shutdown")
	m.Reconnect("slot_busy")
	m.Standby()
	check(true, "standing by")
	m.Reconnect("slot_held")
	check(false, "slot_held")
}

func TestHealthy(t *testing.T) {
	tests := []struct {
		name string
		do   func(*Metrics)
		want string
	}{
		{"new", func(*Metrics) {}, ""},
		{"never a sign", func(*Metrics) { time.Sleep(streamSilence + 11*time.Second) }, "no sign of life for 2m11s"},
		{"status updates", func(m *Metrics) {
			m.Streaming(true)
			for range 100 {
				time.Sleep(time.Minute)
				m.Flushed(0x1000)
			}
		}, ""},
		{"a hung stream", func(m *Metrics) {
			m.Streaming(true)
			time.Sleep(time.Hour)
		}, "no sign of life for 1h0m0s"},
		{"a dead database", func(m *Metrics) {
			for range 1000 {
				time.Sleep(30 * time.Second)
				m.Reconnect("refused")
			}
		}, ""},
		{"a standby", func(m *Metrics) {
			m.Reconnect("slot_busy")
			for range 1000 {
				time.Sleep(30 * time.Second)
				m.Standby()
			}
		}, ""},
		{"a sink that fails for ever", func(m *Metrics) {
			for range 100 {
				m.Attempt("file")
				time.Sleep(time.Minute)
				m.Failed("file", "no_space")
				m.Flushed(0x1000)
			}
		}, ""},
		{"a sink that is idle", func(m *Metrics) {
			m.Attempt("file")
			m.Delivered("file", 1, 1)
			time.Sleep(time.Hour)
			m.Flushed(0x1000)
		}, ""},
		{"a sink that hangs", func(m *Metrics) {
			m.Attempt("file")
			time.Sleep(writeLimit + time.Second)
			m.Flushed(0x1000)
		}, "sink file has been writing one batch for 10m1s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := New(Config{Sinks: []string{"file"}})
				tt.do(m)
				err := m.Healthy()
				if err == nil && tt.want != "" || err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("Healthy says %v, want %q", err, tt.want)
				}
			})
		})
	}
}

func TestHealthyKnowsTheStatusInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{StatusInterval: time.Hour})
		time.Sleep(time.Hour)
		if err := m.Healthy(); err != nil {
			t.Error(err)
		}
	})
}
