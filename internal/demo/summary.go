package demo

import (
	"fmt"
	"strconv"
	"time"

	"pgwitness/internal/terminal"
)

// summary is how the demo ended.
type summary struct {
	*comparison
	open       time.Duration // how long the shop was
	rolledBack int64         // audited rows that never were committed
	latency    *latencies    // from commit until the event could be read in the file
	lag        lag
	consumer   *consumer
}

// show writes the summary, a line for each number.
func (s *summary) show(to *screen) {
	number := func(name, colour, value, remark string) {
		l := terminal.Line{Room: to.err.Width(unseen) - 1, Colours: to.err.Colours}
		l.Add("", fmt.Sprintf("%14s", name), 14)
		l.Add(colour, fmt.Sprintf("%8s", value), 8)
		l.Add(terminal.Gray, remark, 0)
		to.say(l.String())
	}
	shouldBeZero := func(name string, count int, remark string) {
		colour := terminal.Green
		if count != 0 {
			colour = terminal.Red
		}
		number(name, colour, terminal.Group(count), remark)
	}
	to.say("")
	number("committed", terminal.Bold, terminal.Group(s.committed), "rows in custom_audit_log")
	number("delivered", terminal.Bold, terminal.Group(s.delivered), "events in the consumer's file, of "+terminal.Group(s.transactions)+" transactions")
	shouldBeZero("lost", s.lost(), "rows without an event")
	shouldBeZero("invented", s.invented, "events without a row; "+terminal.Group(int(s.rolledBack))+" rows were rolled back")
	shouldBeZero("duplicates", s.duplicates, "events that are in the file twice")
	shouldBeZero("out of order", s.disordered, "events that come before an earlier one")
	if s.tampered > 0 {
		shouldBeZero("tampering", s.tampered, "changes that somebody made to custom_audit_log itself")
	}
	if s.retained > 0 {
		number("retention", terminal.Bold, terminal.Group(s.retained), "expired rows of custom_audit_log that somebody deleted and had announced")
	}
	if s.incomplete > 0 {
		number("incomplete", terminal.Yellow, terminal.Group(s.incomplete), "DELETEs of which the trigger says nothing: see pgwitness audit harden")
	}
	to.say("")
	number("rate", terminal.Bold, terminal.Group(int(float64(s.delivered)/s.open.Seconds()+0.5)), "rows/s")
	number("latency p50", terminal.Bold, milliseconds(s.latency.quantile(0.5)), "ms from commit to a line in the file, looked for every ms")
	number("p99", terminal.Bold, milliseconds(s.latency.quantile(0.99)), "ms")
	number("lag", terminal.Bold, terminal.Group(int(s.lag.last)), "bytes of WAL unconfirmed; "+terminal.Group(int(s.lag.first))+" when the shop closed")
	number("consumer", terminal.Bold, fmt.Sprintf("%.1f", 100*s.consumer.cpu.Seconds()/s.consumer.lived.Seconds()), "% of a core")
	if s.consumer.memory > 0 {
		number("", terminal.Bold, terminal.Group(int(s.consumer.memory>>20)), "MB resident at most")
	}
	if s.consumer.kill {
		number("killed", terminal.Bold, terminal.Group(s.consumer.kills), "times with SIGKILL, and started again at once")
	}
	to.say("")
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64)
}
