package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"pgwitness/internal/admin"
	"pgwitness/internal/status"
	"pgwitness/internal/terminal"
)

// renderStatus shows s to a person on lines of less than width columns: what is wrong first, then all else.
func renderStatus(s *status.Status, url string, width int, colours bool) string {
	page := screen{width: width, colours: colours}
	page.problems(s)
	page.blank()
	page.source(s)
	page.pace(s)
	for _, sink := range s.Sinks {
		page.sink(s, &sink)
	}
	for _, standby := range s.Standbys {
		state := item{"ready for a failover", terminal.Green}
		if !standby.Ready {
			state = item{"not ready: " + standby.Problem, terminal.Yellow}
		}
		page.row(label{text: "standby"}, item{standby.Name, terminal.Bold}, state)
	}
	page.row(label{text: "process"}, item{text: "pgwitness " + s.Version},
		item{text: "up for " + terminal.Duration(time.Duration(s.UptimeSeconds*float64(time.Second)))}, item{text: url})
	return page.String()
}

// screen is a page of rows, each of a label and of items beside it.
type screen struct {
	strings.Builder
	width   int
	colours bool
}

type label struct{ text, colour string }

type item struct{ text, colour string }

const (
	labelWidth = 10
	separator  = " · "
	// leastWidth is the narrowest column of items; on a terminal that is narrower yet, lines are broken by it.
	leastWidth = 12
)

func (s *screen) blank() { s.WriteByte('\n') }

// row writes items, as many on a line as fit. Where one alone does not fit, it is folded.
func (s *screen) row(l label, items ...item) {
	room := max(s.width-1-labelWidth, leastWidth) // in the last column some terminals begin a new line
	head := s.paint(cmp.Or(l.colour, terminal.Gray), l.text) + strings.Repeat(" ", max(1, labelWidth-len(l.text)))
	used := 0
	begin := func() {
		if used > 0 {
			s.WriteByte('\n')
			head = strings.Repeat(" ", labelWidth)
		}
		s.WriteString(head)
		used = 0
	}
	begin()
	for _, it := range items {
		text := terminal.Clean(it.text)
		need := terminal.Width(text)
		if used > 0 && used+len([]rune(separator))+need <= room {
			s.WriteString(separator + s.paint(it.colour, text))
			used += len([]rune(separator)) + need
			continue
		}
		for i, line := range fold(text, room) {
			if used > 0 || i > 0 {
				used = max(used, 1)
				begin()
			}
			s.WriteString(s.paint(it.colour, line))
			used = max(1, terminal.Width(line))
		}
	}
	s.WriteByte('\n')
}

// fold breaks text between words, and words that are longer than room, lest redraw draw over lines that the terminal broke.
func fold(text string, room int) (lines []string) {
	for _, line := range admin.Lines(text, room) {
		for terminal.Width(line) > room {
			end := 0
			for i := range line {
				if terminal.Width(line[:i]) > room {
					break
				}
				end = i
			}
			lines, line = append(lines, line[:end]), line[end:]
		}
		lines = append(lines, line)
	}
	return lines
}

func (s *screen) paint(colour, text string) string {
	if !s.colours || colour == "" || text == "" {
		return text
	}
	return colour + text + terminal.Reset
}

// severityColours are those of the labels.
var severityColours = map[status.Severity]string{
	status.Critical: terminal.Bold + terminal.Red, status.Warning: terminal.Bold + terminal.Yellow, status.Info: terminal.Gray,
}

func (s *screen) problems(now *status.Status) {
	if worst := now.Worst(); worst != status.Critical && worst != status.Warning {
		s.row(label{"OK", terminal.Bold + terminal.Green}, item{text: "nothing is wrong"})
	}
	for _, problem := range now.Problems {
		colour := severityColours[problem.Severity]
		s.row(label{strings.ToUpper(string(problem.Severity)), colour}, item{problem.What, colour})
		s.row(label{}, item{text: "→ " + problem.Fix})
	}
}

// source is what is followed, and how far.
func (s *screen) source(now *status.Status) {
	source := &now.Source
	role := map[status.Role]item{
		status.Active:     {"active: streams for " + terminal.Duration(now.At.Sub(source.StreamingSince)), terminal.Green},
		status.Standby:    {"standby: waits for the slot for " + terminal.Duration(now.At.Sub(source.DownSince)), terminal.Yellow},
		status.Connecting: {"connecting: no stream for " + terminal.Duration(now.At.Sub(source.DownSince)), terminal.Red},
		status.Ended:      {fmt.Sprintf("ended with exit code %d", now.ExitCode), terminal.Red},
	}[now.Role]
	s.row(label{text: "source"}, item{source.Name, terminal.Bold}, item{text: source.Table + " in database " + source.Database})
	s.row(label{text: "role"}, role)
	slot := now.Slot
	if slot == nil {
		s.row(label{text: "slot"}, item{source.Slot, terminal.Bold}, item{text: "not read yet"})
		return
	}
	state := item{slot.WALStatus, terminal.Green}
	if slot.WALStatus == "unreserved" || slot.WALStatus == "lost" {
		state.colour = terminal.Red
	}
	safe := item{text: "no limit"}
	if slot.SafeWAL != nil {
		safe.text = terminal.Size(max(0, *slot.SafeWAL)) + " more are safe"
	}
	s.row(label{text: "slot"}, item{source.Slot, terminal.Bold}, state, item{text: terminal.Size(slot.RetainedWAL) + " of WAL kept"}, safe)
	s.row(label{text: "lag"}, item{text: terminal.Size(now.Lag.Confirmed) + " not confirmed"},
		item{text: terminal.Size(now.Lag.Received) + " not received"}, item{text: "confirmed up to " + source.Confirmed.String()})
}

// pace is how much comes, and how fast it is delivered.
func (s *screen) pace(now *status.Status) {
	rate := now.EventsPerSecond
	s.row(label{text: "events"}, item{terminal.Rate(rate.Last10s) + "/s", terminal.Bold},
		item{text: terminal.Rate(rate.Last60s) + "/s over a minute"}, item{text: terminal.Group(now.Events) + " since the start"})
	if latency := now.Latency; latency.Transactions > 0 {
		duration := func(s float64) string { return terminal.Duration(time.Duration(s * float64(time.Second))) }
		s.row(label{text: "latency"}, item{"p50 " + duration(latency.P50), terminal.Bold}, item{text: "p99 " + duration(latency.P99)},
			item{text: "from commit to all sinks, over a minute"})
	} else if !now.LastEvent.IsZero() {
		s.row(label{text: "latency"}, item{text: "no events for " + terminal.Duration(now.At.Sub(now.LastEvent))})
	}
	s.row(label{text: "buffer"}, item{text: terminal.Size(int64(now.Buffer.Bytes)) + " of " + terminal.Size(int64(now.Buffer.Limit))})
}

func (s *screen) sink(now *status.Status, sink *status.Sink) {
	items := []item{{sink.Name, terminal.Bold}}
	switch sink.State {
	case "failing":
		items = append(items, item{"FAILS for " + terminal.Duration(now.At.Sub(sink.FailingSince)), terminal.Red},
			item{text: terminal.Count(sink.Failures, "failure", "failures")})
		if wait := sink.NextAttempt.Sub(now.At); wait > 0 {
			items = append(items, item{text: "tried again in " + terminal.Duration(wait)})
		}
	case "ok":
		items = append(items, item{"ok", terminal.Green}, item{text: terminal.Rate(sink.EventsPerSecond.Last10s) + "/s"},
			item{text: terminal.Size(int64(sink.BytesPerSecond.Last10s)) + "/s"})
	default:
		items = append(items, item{sink.State, terminal.Yellow})
	}
	items = append(items, item{text: terminal.Count(sink.DeliveredEvents, "event", "events")})
	if sink.Filtered > 0 {
		items = append(items, item{text: terminal.Group(sink.Filtered) + " filtered out"})
	}
	if sink.DeadLetters > 0 {
		items = append(items, item{terminal.Count(sink.DeadLetters, "dead letter", "dead letters"), terminal.Red})
	}
	if !sink.LastSuccess.IsZero() {
		items = append(items, item{text: "last " + terminal.Duration(now.At.Sub(sink.LastSuccess)) + " ago"})
	}
	s.row(label{text: "sink"}, items...)
}
