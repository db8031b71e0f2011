// The last events, from /events: read as they come, kept only as far as they are shown.

import { parse, summary } from "./format.js";

const SHOWN = 50; // rows, and how many of those before are asked for
const LONG = 20000; // characters of one event; the sinks have the rest
const AGAIN = 2000; // ms between two attempts

/** Where a path is beside the page; without the user and password that its own address may hold, which fetch refuses. */
export const beside = (path) => new URL(path, location.origin + location.pathname);

const $ = (id) => document.getElementById(id);

/** Events follows /events while it is switched on, by the filters of the form. */
export class Events {
  constructor() {
    this.on = false;
    this.reading = null; // the AbortController of the request under way
    this.paused = false;
    this.waiting = []; // events that came since the table was drawn last, the newest SHOWN of them
    this.passed = 0; // how many came while paused
    this.skipped = 0; // how many the server left out since we did not read fast enough
    this.names = { table: new Set(), user: new Set() };
    $("filters").addEventListener("input", () => {
      clearTimeout(this.later);
      this.later = setTimeout(() => this.restart(), 250);
    });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("pause").addEventListener("click", () => this.pause(!this.paused));
    $("events").addEventListener("toggle", (event) => { if (event.target.open) this.pause(true); }, true);
  }

  /** Switches the reading on or off; it is off while nobody looks. */
  follow(on) {
    if (on === this.on) return;
    this.on = on;
    if (on) this.restart();
    else this.reading?.abort();
  }

  pause(paused) {
    this.paused = paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    $("pause").textContent = paused ? "Go on" : "Pause";
    if (!paused) this.passed = 0;
    this.draw();
  }

  async restart() {
    this.reading?.abort();
    const reading = this.reading = new AbortController();
    while (this.on && !reading.signal.aborted) {
      this.waiting = [];
      this.fresh = true; // what the table holds is of the request before, and comes again
      try {
        await this.read(reading.signal);
      } catch (error) {
        if (reading.signal.aborted) return;
        $("events-note").textContent = `The events cannot be read (${error.message}); trying again.`;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }

  async read(signal) {
    const query = new URLSearchParams({ last: SHOWN });
    for (const [name, value] of new FormData($("filters"))) if (value.trim()) query.set(name, value.trim());
    const response = await fetch(beside(`events?${query}`), { cache: "no-store", signal });
    if (!response.ok) throw new Error(`answer ${response.status}`);
    this.draw();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = value.split("\n");
      lines[0] = rest + lines[0];
      rest = lines.pop();
      // Only what will be shown is parsed: a backlog comes faster than anybody reads.
      for (const line of lines.slice(0, -SHOWN)) if (line.startsWith('{"skipped"')) this.skipped += parse(line).skipped;
      this.passed += this.paused ? lines.length : 0;
      for (const line of lines.slice(-SHOWN)) {
        if (line === "") continue;
        const event = parse(line);
        if (event.skipped !== undefined) this.skipped += event.skipped;
        else this.waiting.push({ ...event, line });
      }
      this.waiting = this.waiting.slice(-SHOWN);
      this.drawing ??= requestAnimationFrame(() => this.draw());
    }
  }

  draw() {
    this.drawing = null;
    const notes = [];
    if (this.paused && this.passed > 0) notes.push(`${this.passed} more since`);
    if (this.skipped > 0) notes.push(`${this.skipped} left out: they came faster than this page reads`);
    $("events-note").textContent = notes.join("; ");
    if (this.paused) return;
    const body = $("events");
    if (this.fresh) body.replaceChildren();
    this.fresh = false;
    body.prepend(...this.waiting.reverse().map(row));
    for (const event of this.waiting) {
      this.offer("table", event.row?.table_name);
      this.offer("user", event.row?.user_name);
    }
    this.waiting = [];
    while (body.children.length > SHOWN) body.lastChild.remove();
    $("events-none").hidden = body.children.length > 0;
  }

  /** Offers a name for completion in the filter; a few dozen are enough. */
  offer(filter, name) {
    const names = this.names[filter];
    if (typeof name !== "string" || names.has(name) || names.size >= 50) return;
    names.add(name);
    const option = document.createElement("option");
    option.value = name;
    $(`${filter}s`).append(option);
  }
}

const cut = (text, length) => text.length > length ? `${text.slice(0, length)}…` : text;

const SIGNS = { insert: "+", update: "~", delete: "−" };

/** The table row of one event. Every value in it comes from the audited application: text, never markup. */
function row(event) {
  const audit = event.kind === "audit";
  const operation = audit ? String(event.row?.event_type ?? "") : `${event.kind} ${event.op}`;
  const tr = document.createElement("tr");
  tr.dataset.kind = event.kind;
  tr.dataset.operation = operation.toLowerCase();
  const cell = (className, content) => {
    const td = tr.insertCell();
    td.className = className;
    td.append(content);
    td.title = td.textContent;
    return td;
  };
  const time = document.createElement("time");
  time.dateTime = event.commit_time;
  time.textContent = new Date(event.commit_time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
  cell("time", time).title = event.commit_time;
  cell("operation", `${SIGNS[tr.dataset.operation] ?? "!"} ${operation}`);
  cell("table", String(event.row?.table_name ?? (audit ? "" : event.table)));
  cell("user", String(event.row?.user_name ?? ""));
  const details = document.createElement("details");
  const short = document.createElement("summary");
  short.textContent = (event.incomplete ? "(incomplete) " : "") + cut(summary(event.row?.row_data ?? event.row), LONG / 40);
  const whole = document.createElement("pre");
  whole.textContent = cut(event.line, LONG);
  details.append(short, whole);
  cell("what", details).removeAttribute("title");
  return tr;
}
