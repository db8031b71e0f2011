//go:build chromium

package page

import "testing"

func TestFormat(t *testing.T) {
	s := newSite(t, "archive")
	p := open(t, s.url)
	tests := []struct{ expression, want string }{
		{`count(1234567)`, "1,234,567"},
		{`short(0)`, "0"}, {`short(0.04)`, "0.04"}, {`short(0.999)`, "1"}, {`short(9.96)`, "10"}, {`short(98.4)`, "98"}, {`short(999.6)`, "1k"},
		{`short(1240)`, "1.2k"}, {`short(5.6e6)`, "5.6M"}, {`short(4e15)`, "4000T"},
		{`bytes(0)`, "0 B"}, {`bytes(1023)`, "1023 B"}, {`bytes(1024)`, "1 KiB"}, {`bytes(1048575)`, "1 MiB"}, {`bytes(12.5 * 1048576)`, "13 MiB"},
		{`bytes(2 ** 30)`, "1 GiB"}, {`bytes(-3 * 2 ** 20)`, "-3 MiB"},
		{`seconds(0.00094)`, "0.94 ms"}, {`seconds(0.0123)`, "12 ms"}, {`seconds(0.9996)`, "1 s"}, {`seconds(12.4)`, "12 s"}, {`seconds(99.6)`, "1 min 39 s"},
		{`duration(0)`, "0 s"}, {`duration(59.9)`, "59 s"}, {`duration(7200)`, "2 h"}, {`duration(7860)`, "2 h 11 min"}, {`duration(90061)`, "1 d 1 h"},
		{`duration(86401)`, "1 d"}, {`duration(-5)`, "0 s"},
		{`ago(1000, 2000)`, "now"}, {`ago(0, 12000)`, "12 s ago"},
		{`summary(null)`, ""}, {`summary(undefined)`, ""}, {`summary("x")`, "x"}, {`summary([1])`, "[1]"}, {`summary(parse("1.10"))`, "1.10"},
		{`summary({})`, ""}, {`summary({ id: 7, a: "x", b: null, c: [1], event_type: "INSERT" })`, "#7 a x, c [1]"},
		{`summary({ id: 7, old: { a: 1, b: 2 }, new: { a: 1, b: 3 } })`, "#7 b 2 → 3"},
		{`summary({ v: 2, event_type: "DELETE", key: { id: 7, at: 8 }, old: { id: 7, at: 8, a: "x" }, new: null })`, "#7,8 a x"},
		{`summary({ old: 1, new: 2 })`, "old 1, new 2"},
		{`summary(parse('{"id": 12345678901234567890, "x": 1e400}'))`, "#12345678901234567890 x 1e400"},
	}
	for _, tt := range tests {
		t.Run(tt.expression, func(t *testing.T) {
			page := &tab{ctx: p.ctx, t: t}
			got := eval[string](page, `import("/page/format.js").then(({ count, short, bytes, seconds, duration, ago, parse, summary }) => `+tt.expression+`)`)
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestPanels gives the panels what a run of a few seconds does not bring about.
func TestPanels(t *testing.T) {
	s := newSite(t, "archive")
	p := open(t, s.url)
	const at = `Date.parse("2026-11-23T08:30:00Z")`
	slot := func(slot string) string {
		return `showSlot({source: {slot: "s", publication: "p", connected: true, streaming_since: "2026-11-23T08:29:00Z",
			received_lsn: "0/1", confirmed_lsn: "0/1"}, slot: ` + slot + `}, ` + at + `), $("#slot")`
	}
	sink := func(sink string) string { return `showSinks([` + sink + `], ` + at + `), $("#sinks")` }
	tests := []struct{ name, expression, want string }{
		{"a lost slot",
			slot(`{wal_status: "lost", active: false, inactive_since: "2026-11-23T08:28:00Z", safe_wal_bytes: null, at: "2026-11-23T08:29:50Z"}`),
			`publication p|wal_status lost|consumer none for 2 min|streaming for 1 min|received 0/1|confirmed 0/1|safe to write no limit set|read 10 s ago`},
		{"a slot that spills and fails over",
			slot(`{wal_status: "extended", active: true, safe_wal_bytes: 1024, failover: true, spilled_transactions: 1200, spilled_bytes: 2048, at: "2026-11-23T08:30:00Z"}`),
			`publication p|wal_status extended|consumer connected|streaming for 1 min|received 0/1|confirmed 0/1|safe to write 1 KiB|failover slot yes|` +
				`spilled 1,200 transactions, 2 KiB|read now`},
		{"no slot yet", slot(`null`), `publication p|streaming for 1 min|received 0/1|confirmed 0/1`},
		{"a sink with dead letters", sink(`{name: "a", state: "ok", delivered_events: 9, delivered_bytes: 10, failures: 0,
			filtered_events: 2, dead_letter_events: 1, events_per_second: {last_10s: 0.5}, last_success: "2026-11-23T08:29:00Z"}`),
			`a2 filtered out, 1 dead letters ok 9 0.5 10 B 0 1 min ago`},
		{"a sink that is waited for", sink(`{name: "a", state: "failing", error: "full", delivered_events: 0, delivered_bytes: 0, failures: 3,
			failing_since: "2026-11-23T08:29:00Z", next_attempt: "2026-11-23T08:30:05Z"}`),
			`a failing 0 – 0 B 3 –|full · failing for 1 min, tried again in 5 s`},
		{"standbys", `showStandbys([{name: "<b>:5432", ready: true, at: "2026-11-23T08:29:58Z"}, {name: "c", ready: false, problem: "not <i>synced"}], ` + at + `),
			$("#standbys")`, `<b>:5432 ready 2 s ago|c not readynot <i>synced –`},
		{"no standby", `showStandbys([], ` + at + `), $("#standbys-panel").hidden ? $("#standbys") : "shown"`, ``},
		{"problems", `showProblems([{severity: "critical", what: "<b>", fix: "run ` + "`a < b`" + `", metric: "m"}, {severity: "info", what: "i", metric: "n"}]),
			$("#alarms")`, `<b> run a < b|i`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page := &tab{ctx: p.ctx, t: t}
			// At once, before the next answer is shown: what each item or row says, its parts apart.
			got := eval[string](page, `import("/page/panels.js").then(({ showSlot, showSinks, showStandbys, showProblems }) => {
				const $ = (selector) => document.querySelector(selector);
				const list = (`+tt.expression+`);
				return [...list.children].map((item) => [...item.children].map((part) => part.textContent).filter(Boolean).join(" ")).join("|");
			})`)
			if got != tt.want {
				t.Errorf("\n%s, want\n%s", got, tt.want)
			}
		})
	}
}
