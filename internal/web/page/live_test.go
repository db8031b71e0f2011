//go:build chromium

package page

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const showEvents = "PGWITNESS_HTTP_SHOW_EVENTS=true"

// seen is how long a person may be left without knowing what is wrong.
const seen = 5 * time.Second

func TestNumbersMove(t *testing.T) {
	s := newSite(t, "archive")
	p := open(t, s.url)
	p.await(text("#role")+` === "active"`, soon)
	p.await(`!document.querySelector("#well").hidden`, soon)
	confirmed := eval[string](p, text("#slot"))
	for _, want := range []string{"5", "1,005"} {
		n := 5
		if want != "5" {
			n = 1000
		}
		s.insert(t, n)
		p.await(text("#totals")+`.startsWith("events`+want+`")`, soon)
		p.await(text("#sinks")+`.includes("`+want+`")`, soon)
	}
	p.await(text("#slot")+` !== `+quote(confirmed), soon)
	for _, chart := range []string{"throughput", "latency", "lag", "retained", "buffer"} {
		p.await(`document.querySelectorAll("#`+chart+`-plot .line").length > 0`, soon)
		p.await(text("#"+chart+" .now")+` !== "–"`, soon)
	}
	if note := eval[string](p, text("#retained .note")); !strings.Contains(note, "of 1 GiB, then the slot is lost") {
		t.Errorf("the limit of the retained WAL is not told: %q", note)
	}

	// With the keyboard, a chart tells of an earlier moment.
	p.await(`document.querySelector("#throughput-plot .line").getAttribute("d").split("L").length > 6`, soon)
	p.do(chromedp.Focus("#throughput"), chromedp.KeyEvent(kb.ArrowLeft))
	if !eval[bool](p, `document.querySelectorAll(".marked").length === 5 && /\d\d:\d\d:\d\d$/.test(`+text("#latency .note")+`)`) {
		t.Error("the arrow key marks no moment in the charts")
	}
	p.do(chromedp.KeyEvent(kb.Escape))
	p.await(`document.querySelector(".marked") === null`, soon)
}

func TestBrokenSink(t *testing.T) {
	// The error names the path, so the path is one that would be markup.
	s := newSite(t, `<img src=x onerror="hacked=1">`)
	p := open(t, s.url)
	s.insert(t, 1)
	p.await(text("#totals")+`.startsWith("events1")`, soon)
	s.breakSink(t)
	s.insert(t, 1)
	took := p.await(`[...document.querySelectorAll("#alarms strong")].some((e) => e.textContent.includes("archive"))`, seen)
	t.Logf("the alarm came after %v", took)
	for _, condition := range []string{
		`document.querySelector("#alarms .problem p").textContent.length > 20`,
		`document.querySelector("#well").hidden`,
		`document.title.startsWith("(1) ")`,
		text(`#sinks .pill`) + ` === "failing"`,
		text(`#sinks .error`) + `.includes('<img src=x onerror="hacked=1">')`,
		`document.querySelector("main img") === null && window.hacked === undefined`,
		`document.querySelector("#alarms").getAttribute("aria-live") === "assertive"`,
		`document.querySelector("#problems").getBoundingClientRect().bottom < innerHeight / 2`,
	} {
		p.await(condition, seen)
	}
	s.mendSink(t)
	took = p.await(`document.querySelector("#alarms").children.length === 0 && !document.querySelector("#well").hidden`, soon)
	t.Logf("it went %v after the mending, which the sink has to find out first", took)
	p.await(text(`#sinks .pill`)+` === "ok"`, seen)
	p.await(text("#totals")+`.startsWith("events2")`, seen)
}

func TestEvents(t *testing.T) {
	s := newSite(t, "archive", showEvents)
	p := open(t, s.url)
	const hostile = `<script>hacked=1</script><img src=x onerror=hacked=2>`
	write := func(operation, user, table, data string) {
		t.Helper()
		s.Exec(t, fmt.Sprintf("INSERT INTO custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data) "+
			"VALUES ('%s', now(), '%s', '%.50s', '%s')", operation, user, table, data))
	}
	rows := func(condition string) string {
		return `[...document.querySelectorAll("#events tr")].filter((tr) => ` + condition + `).length`
	}
	write("INSERT", "alice", "orders", `{"id": 7, "status": "open"}`)
	write("UPDATE", "bob", "orders", `{"id": 7, "old": {"status": "open", "city": "Bern"}, "new": {"status": "paid", "city": "Bern"}}`)
	write("DELETE", `"><svg onload=hacked=3>`, hostile, `{"id": 12345678901234567890.123456789, "note": "`+hostile+`"}`)
	p.await(rows("true")+` === 3`, soon)
	for _, condition := range []string{
		`document.querySelector("#events tr .table").textContent === ` + quote(hostile[:50]), // the newest is on top
		`document.querySelector("#events tr .user").textContent === '"><svg onload=hacked=3>'`,
		`document.querySelector("#events tr summary").textContent === ` + quote("#12345678901234567890.123456789 note "+hostile),
		`document.querySelector("#events tr:nth-child(2) summary").textContent === "#7 status open → paid"`,
		`document.querySelector("#events tr:nth-child(3) .operation").textContent === "+ INSERT"`,
		`document.querySelectorAll("main img, main script, main svg[onload]").length === 0 && window.hacked === undefined`,
	} {
		p.await(condition, seen)
	}

	// The filters.
	p.do(fill(`[name="operation"]`, "update"))
	p.await(rows("true")+` === 1 && `+rows(`tr.dataset.operation === "update"`)+` === 1`, seen)
	write("INSERT", "carol", "orders", `{"id": 8}`)
	write("UPDATE", "carol", "orders", `{"id": 8}`)
	p.await(rows(`tr.querySelector(".user").textContent === "carol"`)+` === 1`, seen)
	if n := eval[int](p, rows(`tr.dataset.operation !== "update"`)); n != 0 {
		t.Errorf("%d events came past the filter", n)
	}
	p.do(fill(`[name="operation"]`, ""), fill(`[name="user"]`, "alice"))
	p.await(rows("true")+` === 1 && `+rows(`tr.querySelector(".user").textContent === "alice"`)+` === 1`, seen)
	p.do(fill(`[name="user"]`, ""), fill(`[name="table"]`, "nowhere"))
	p.await(rows("true")+` === 0`, seen)
	p.do(fill(`[name="table"]`, ""))
	p.await(rows("true")+` === 5`, seen)

	// One that is read in full holds the others back.
	p.do(chromedp.Click("#events tr summary"))
	p.await(text("#pause")+` === "Go on"`, seen)
	write("INSERT", "dave", "orders", `{"id": 9}`)
	p.await(text("#events-note")+` === "1 more since"`, seen)
	if n := eval[int](p, rows("true")); n != 5 {
		t.Errorf("%d events are shown while paused, want the 5 from before", n)
	}
	var line struct{ Kind string }
	if err := json.Unmarshal([]byte(eval[string](p, text("#events details[open] pre"))), &line); err != nil || line.Kind != "audit" {
		t.Errorf("the event in full is not its line: %+v, %v", line, err)
	}
	p.do(chromedp.Click("#pause"))
	p.await(rows("true")+` === 6`, seen)

	// What is too long to be shown is cut, and of a backlog only the end is shown.
	write("INSERT", "eve", "orders", `{"id": 10, "text": "`+strings.Repeat("x", 100_000)+`"}`)
	p.await(text("#events tr summary")+`.length === 501 && `+text("#events tr pre")+`.length === 20001`, seen)
	s.insert(t, 100_000)
	p.await(text("#events tr summary")+`.startsWith("#100000 ")`, soon)
	if n := eval[int](p, rows("true")); n != 50 {
		t.Errorf("%d events are shown, want the last 50", n)
	}

	// A change to the audit table itself.
	s.Exec(t, "ALTER PUBLICATION "+s.Name+" SET (publish = 'insert, update, delete, truncate')")
	s.Exec(t, "UPDATE custom_audit_log SET user_name = 'mallory' WHERE user_name = 'alice'")
	p.await(rows(`tr.dataset.kind === "tamper" && tr.querySelector(".operation").textContent === "! tamper update"`)+` === 1`, soon)
	p.await(`document.querySelector("#alarms .critical") !== null`, seen)
}

// fill does what a person does who changes a field.
func fill(selector, value string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		const field = document.querySelector(%q);
		field.value = %s;
		field.dispatchEvent(new Event("input", { bubbles: true }));
	})()`, selector, quote(value)))
}

func quote(s string) string {
	quoted, _ := json.Marshal(s)
	return string(quoted)
}

func TestWithoutEvents(t *testing.T) {
	s := newSite(t, "archive")
	p := open(t, s.url)
	s.insert(t, 1)
	p.await(text("#totals")+`.startsWith("events1")`, soon)
	if !eval[bool](p, `document.querySelector("#events-off").innerText.includes("http.show_events: true") && document.querySelector("#events-on").hidden`) {
		t.Error("the page does not say how to have events shown")
	}
	if n := p.asked("/events?"); n != 0 {
		t.Errorf("/events was asked %d times", n)
	}
}

func TestKilled(t *testing.T) {
	s := newSite(t, "archive", showEvents)
	p := open(t, s.url)
	s.insert(t, 3)
	p.await(text("#totals")+`.startsWith("events3")`, soon)
	p.killed = true
	s.process.Kill()
	took := p.await(`document.body.dataset.state === "lost"`, seen)
	t.Logf("the page knew after %v", took)
	for _, condition := range []string{
		`!document.querySelector("#lost").hidden && document.querySelector("#lost").textContent.includes("This pgwitness does not answer.")`,
		text("#heard") + `.startsWith("no answer for ")`,
		text("#totals") + `.startsWith("events3")`, // what was last known stays, and is grey
		`getComputedStyle(document.querySelector(".charts")).filter === "grayscale(1)"`,
		`document.querySelector("#well").hidden`,
		`document.title.startsWith("✕")`,
	} {
		p.await(condition, seen)
	}
	s.start(t)
	p.await(`document.body.dataset.state === "live" && document.querySelector("#lost").hidden`, soon)
	p.await(text("#role")+` === "active"`, soon)
	s.insert(t, 1)
	p.await(text("#totals")+`.startsWith("events1")`, soon)
	p.await(`document.querySelectorAll("#events tr").length === 1`, soon)
}

func TestPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	// of "secret"
	if err := os.WriteFile(file, []byte("basic_auth_users: {auditor: $2a$04$aIfngCKY1vrUSJP6qnQkd.ykItMc5l2DDAIVNbEeibJQD.FQDz.2W}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "archive", showEvents, "PGWITNESS_HTTP_WEB_CONFIG="+file)
	p := open(t, strings.Replace(s.url, "http://", "http://auditor:secret@", 1))
	s.insert(t, 2)
	p.await(text("#totals")+`.startsWith("events2")`, soon)
	p.await(`document.querySelectorAll("#events tr").length === 2`, soon)
}

func TestNobodyLooks(t *testing.T) {
	s := newSite(t, "archive", showEvents)
	p := open(t, s.url)
	hide := func(hidden string) {
		p.do(chromedp.Evaluate[chromedp.Void](`Object.defineProperty(document, "hidden", { configurable: true, value: ` + hidden + ` });
			document.dispatchEvent(new Event("visibilitychange"))`))
	}
	hide("true")
	asked := func() int {
		return eval[int](p, `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("/status")).length`)
	}
	before := asked() + 1 // one may have been under way
	eval[bool](p, `new Promise((resolve) => setTimeout(() => resolve(true), 3500))`)
	if after := asked(); after > before {
		t.Errorf("/status was asked %d more times while nobody looked", after-before)
	}
	hide("false")
	s.insert(t, 2)
	p.await(text("#totals")+`.startsWith("events2")`, soon)
	p.await(`document.querySelectorAll("#events tr").length === 2`, soon)
}

func TestAppearance(t *testing.T) {
	s := newSite(t, "archive", showEvents)
	long := strings.Repeat("W", 50)
	for range 3 {
		s.Exec(t, fmt.Sprintf(`INSERT INTO custom_audit_log (event_type, user_name, table_name, row_data) VALUES ('INSERT', '%s', '%s', '{"%s": "%s"}')`,
			long, long, long, strings.Repeat(long, 20)))
	}
	p := open(t, s.url)
	p.await(`document.querySelectorAll("#events tr").length === 3`, soon)
	s.breakSink(t) // an alarm and an error are the longest texts
	s.insert(t, 1)
	p.await(`document.querySelectorAll("#alarms .problem, #sinks .error").length >= 2`, soon)
	grounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		grounds[eval[string](p, `getComputedStyle(document.body).backgroundColor`)] = true
		for _, faint := range eval[[]string](p, faintTexts) {
			t.Errorf("%s: too faint: %s", scheme, faint)
		}
		for _, width := range []int64{320, 390, 640, 820, 1280, 1920} {
			p.do(chromedp.EmulateViewport(width, 900))
			if over := eval[[]string](p, wideElements); len(over) > 0 {
				t.Errorf("%s, %d px: wider than the window: %s", scheme, width, strings.Join(over, ", "))
			}
		}
	}
	if len(grounds) != 2 {
		t.Errorf("light and dark have the same background: %v", grounds)
	}
}

// wideElements names what makes the page scroll to the side.
const wideElements = `document.documentElement.scrollWidth <= innerWidth ? [] :
	[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
		.map((e) => e.tagName + "#" + e.id + "." + (e.getAttribute("class") ?? ""))`

// faintTexts names texts whose contrast with what is behind them is below 4.5, which WCAG 2 asks for.
const faintTexts = `(() => {
	const luminance = (rgb) => rgb.map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
	const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const ground = numbers(getComputedStyle(e).backgroundColor);
			if (ground.length === 3 || ground[3] > 0) return ground.slice(0, 3);
		}
	};
	return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
		.map((e) => {
			const style = getComputedStyle(e);
			const text = luminance(numbers(e.namespaceURI.endsWith("svg") ? style.fill : style.color).slice(0, 3)), ground = luminance(behind(e));
			return [(Math.max(text, ground) + .05) / (Math.min(text, ground) + .05), e];
		})
		.filter(([contrast]) => contrast < 4.5)
		.map(([contrast, e]) => contrast.toFixed(2) + " " + e.tagName + "#" + e.id + "." + (e.getAttribute("class") ?? "") + " " + e.textContent.slice(0, 20));
})()`
