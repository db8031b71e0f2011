package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"pgwitness/decoder"
	"pgwitness/sink"
)

// memSink is a sink in memory that fails, blocks and refuses as the test says. One that remembers makes half of the events
// durable in a Write that fails, and those before the first it refuses, and skips them when they come again; it checks that
// events come in order.
type memSink struct {
	tb        testing.TB
	remembers bool // Open returns the last position, as the file sink's does

	mu      sync.Mutex
	events  []held // durable
	holds   map[decoder.Position]bool
	blocked chan struct{}
	shut    bool                    // Open fails
	fail    func(attempt int) error // nil or an error for each Write
	refuses func(decoder.Position) bool
	writes  int
	again   bool // the last Write failed in its middle: its events come again
}

type held struct {
	decoder.Position
	id string
}

func newMemSink(tb testing.TB, remembers bool) *memSink {
	return &memSink{tb: tb, remembers: remembers, holds: make(map[decoder.Position]bool)}
}

var errSink = errors.New("the sink failed as the script says")

func (m *memSink) Open(context.Context, sink.Origin) (decoder.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut {
		return decoder.Position{}, errSink
	}
	if m.remembers && len(m.events) > 0 {
		return m.events[len(m.events)-1].Position, nil
	}
	return decoder.Position{}, nil
}

func (m *memSink) Write(ctx context.Context, events []decoder.Event) error {
	m.mu.Lock()
	blocked := m.blocked
	m.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	var err error
	if m.fail != nil {
		err = m.fail(m.writes)
	}
	if err != nil && m.remembers {
		events = events[:len(events)/2]
	} else if err != nil {
		return err
	}
	if at := slices.IndexFunc(events, func(e decoder.Event) bool { return m.refuses != nil && m.refuses(e.Position) }); at >= 0 {
		err = &sink.RejectedError{Position: events[at].Position, Reason: "the script says so"}
		if !m.remembers {
			return err
		}
		events = events[:at]
	}
	for i := range events {
		m.keep(held{events[i].Position, events[i].ID()})
	}
	m.again = err != nil
	return err
}

// keep makes an event durable.
func (m *memSink) keep(e held) {
	if n := len(m.events); m.remembers && n > 0 && e.Compare(m.events[n-1].Position) <= 0 {
		if !m.again {
			m.tb.Errorf("event %s came after %s", e.Position, m.events[n-1].Position)
		}
		return
	}
	m.events = append(m.events, e)
	m.holds[e.Position] = true
}

func (m *memSink) Close() error { return nil }

// block makes Write wait until the returned function is called.
func (m *memSink) block() (release func()) {
	gate := make(chan struct{})
	m.mu.Lock()
	m.blocked = gate
	m.mu.Unlock()
	return sync.OnceFunc(func() {
		m.mu.Lock()
		m.blocked = nil
		m.mu.Unlock()
		close(gate)
	})
}

// shutOut sets whether Open fails.
func (m *memSink) shutOut(shut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shut = shut
}

// script sets how Write fails.
func (m *memSink) script(fail func(attempt int) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

// refuse sets which events are refused for good.
func (m *memSink) refuse(refuses func(decoder.Position) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = refuses
}

// durable is what the sink holds.
func (m *memSink) durable() []held {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]held(nil), m.events...)
}

// lacks returns those of positions whose events are not durable.
func (m *memSink) lacks(positions []decoder.Position) []decoder.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(positions, func(p decoder.Position) bool { return m.holds[p] })
}
