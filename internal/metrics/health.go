package metrics

import (
	"errors"
	"fmt"
	"time"
)

const (
	// streamSilence is how long the stream may give no sign of life beyond the status interval: dialling, the checks and the
	// wait between two attempts take less than a minute.
	streamSilence = 2 * time.Minute
	// writeLimit is how long one write to a sink may take. One that fails, however often, is no reason to be restarted; one
	// that neither fails nor succeeds may be cured by it.
	writeLimit = 10 * time.Minute
)

// Ready says what this process does, streaming or standing by for the consumer that does; or why it does neither. A standby
// is ready, or the replica of a rolling update that is to take over would wait for the one before to be ended, and that one
// for the new one to be ready.
func (m *Metrics) Ready() (string, error) {
	switch s := m.Snapshot(); {
	case s.ExitCode != 0:
		return "", fmt.Errorf("the run has ended with exit code %d; the log says why", s.ExitCode)
	case s.Streaming:
		return "streaming", nil
	case s.Standby():
		return "standing by: another consumer streams from the slot", nil
	case s.Reconnect == "":
		return "", errors.New("not streaming yet")
	default:
		return "", fmt.Errorf("not streaming: no connection to PostgreSQL (%s); trying again until it works", s.Reconnect)
	}
}

// Healthy says which part of this process has stopped making progress, so that a restart may help, or nil. A database that
// is away and a sink that fails are no such case: they are being tried again.
func (m *Metrics) Healthy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.ExitCode != 0 {
		return nil // it lingers so that it is seen, and a restart does not mend what ended it
	}
	if silent := time.Since(m.heard); silent > m.cfg.StatusInterval+streamSilence {
		return fmt.Errorf("the stream has given no sign of life for %s", silent.Round(time.Second))
	}
	for sink, since := range m.writing {
		if took := time.Since(since); took > writeLimit {
			return fmt.Errorf("sink %s has been writing one batch for %s", sink, took.Round(time.Second))
		}
	}
	return nil
}
