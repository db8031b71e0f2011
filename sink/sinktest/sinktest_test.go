package sinktest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/sink"
)

// faultVariable names the fault that memory is to have; the process that has it must fail the suite.
const faultVariable = "PGWITNESS_SINKTEST_FAULT"

var faults = []string{
	"loses the last event", "changes the order", "retains the bytes", "changes the bytes", "writes a failed batch twice",
	"forgets its position", "confirms before it is durable", "ignores its context", "takes any origin", "takes any timeline",
	"knows one timeline", "swallows failures",
	"leaks a goroutine", "gives up for good",
	"holds what comes after a refused event", "names another event than the refused one", "tells of the refused row",
}

// TestSuite passes a right sink, and fails one for each fault.
func TestSuite(t *testing.T) {
	fault := os.Getenv(faultVariable)
	Run(t, func(t *testing.T) Harness {
		d := &destination{fault: fault}
		return Harness{
			New:       func(*testing.T) sink.Sink { return &memory{destination: d} },
			Read:      func(*testing.T) [][]byte { return d.lines },
			Remembers: true,
			Refuse:    func(_ *testing.T, position decoder.Position) { d.refused = position },
			Break:     func(*testing.T) { d.broken = true },
			Mend:      func(*testing.T) { d.broken = false },
		}
	})
}

func TestSuiteFindsFaults(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Run(fault, func(t *testing.T) {
			cmd := exec.Command(self, "-test.run=^TestSuite$", "-test.failfast")
			cmd.Env = append(os.Environ(), faultVariable+"="+fault)
			output, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(output), "--- FAIL: TestSuite/") {
				t.Errorf("a sink that %s passes the suite (%v):\n%s", fault, err, output)
			}
		})
	}
}

// destination holds lines in memory, over all the sinks that are opened for it.
type destination struct {
	fault    string
	lines    [][]byte
	position decoder.Position
	origin   sink.Origin
	broken   bool
	refused  decoder.Position
}

// memory is a sink that keeps the contract, but for one fault.
type memory struct {
	*destination
	pending [][]byte
}

func (m *memory) Open(_ context.Context, origin sink.Origin) (decoder.Position, error) {
	if m.origin.Slot != "" {
		err := origin.Continues(m.origin, m.position)
		switch {
		case err == nil && m.fault == "knows one timeline" && m.origin.Timeline != origin.Timeline:
			return decoder.Position{}, sink.ErrForeign
		case err != nil && m.fault != "takes any origin" && (m.fault != "takes any timeline" || m.origin.Timeline == origin.Timeline):
			return decoder.Position{}, err
		}
	}
	m.origin = origin
	if m.fault == "forgets its position" {
		return decoder.Position{}, nil
	}
	return m.position, nil
}

func (m *memory) Write(ctx context.Context, events []decoder.Event) error {
	if err := ctx.Err(); err != nil && m.fault != "ignores its context" {
		return err
	}
	m.lines, m.pending = append(m.lines, m.pending...), nil
	if m.fault != "forgets its position" {
		for len(events) > 0 && events[0].Compare(m.position) <= 0 {
			events = events[1:]
		}
	}
	events = slices.Clone(events)
	switch m.fault {
	case "loses the last event":
		events = events[:max(0, len(events)-1)]
	case "changes the order":
		slices.Reverse(events)
	case "leaks a goroutine":
		go func() { select {} }()
	case "changes the bytes":
		for i := range events {
			clear(events[i].Line())
		}
	}
	if m.broken {
		switch m.fault {
		case "swallows failures":
			return nil
		case "gives up for good":
			return sink.ErrClosed
		case "writes a failed batch twice":
			m.lines = append(m.lines, bytes.Clone(events[0].JSON()))
		}
		return errors.New("broken")
	}
	var refusal error
	if at := slices.IndexFunc(events, func(e decoder.Event) bool { return e.Position == m.refused }); at >= 0 {
		rejected := &sink.RejectedError{Position: m.refused, Reason: "too large"}
		if m.fault == "tells of the refused row" {
			rejected.Reason = string(events[at].JSON())
		}
		if m.fault == "names another event than the refused one" {
			rejected.Position.Seq++
		}
		if m.fault == "holds what comes after a refused event" {
			events = slices.Delete(events, at, at+1)
		} else {
			events = events[:at]
		}
		refusal = rejected
	}
	for i := range events {
		line := events[i].JSON()
		if m.fault != "retains the bytes" {
			line = bytes.Clone(line)
		}
		if m.fault == "confirms before it is durable" {
			m.pending = append(m.pending, line)
		} else {
			m.lines = append(m.lines, line)
		}
		m.position = events[i].Position
	}
	return refusal
}

func (m *memory) Close() error { return nil }
