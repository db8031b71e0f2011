// Asks /status every second and shows what it says, with the last ten minutes of it. Nothing is kept beyond this window.

import { Chart } from "./chart.js";
import { beside, Events } from "./events.js";
import { bytes, duration, seconds, short } from "./format.js";
import { showProblems, showSinks, showSlot, showStandbys, showTotals } from "./panels.js";

const EVERY = 1000; // ms from one question to the next
const TIMEOUT = 5000; // ms that an answer may take
const LATE = 3000; // ms without an answer after which what is shown is called old
const KEEP = 600e3; // ms of history
const SPANS = [60e3, 120e3, 180e3, 240e3, 300e3, 360e3, 480e3, KEEP]; // what the charts show: the shortest that holds all there is

const $ = (id) => document.getElementById(id);
const set = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };

const operations = ["insert", "update", "delete", "truncate", "other"];

const sizes = (key) => ({ series: [{ key, className: "plain" }], format: bytes, binary: true, floor: 4096 });

// What each chart says in words: now, of one sample, and note beside it.
const charts = [
  { id: "throughput", options: { series: operations.map((key) => ({ key, className: key })), stacked: true, format: short, floor: 5 },
    now: (s) => s.rate === null ? "–" : `${short(s.rate)} events/s`,
    note: (s) => operations.filter((op) => s[op] >= 0.05).map((op) => [op, `${op} ${short(s[op])}`]) },
  { id: "latency", options: { series: [{ key: "p99", className: "faint" }, { key: "p50", className: "plain" }], format: seconds, log: 0.0001 },
    now: (s) => s.p50 === null ? "–" : seconds(s.p50),
    note: (s) => s.p50 === null ? [["", "nothing in the last minute"]] : [["plain", "p50 of the last minute"], ["faint", `p99 ${seconds(s.p99)}`]] },
  { id: "lag", options: sizes("lag"),
    now: (s) => s.lag === null ? "–" : bytes(s.lag),
    note: () => [["", "of WAL behind the server"]] },
  { id: "retained", options: { ...sizes("retained"), limit: (s) => s.retainedLimit },
    now: (s) => s.retained === null ? "–" : bytes(s.retained),
    note: (s) => [["", s.retained === null ? "" : s.retainedLimit === null ? "max_slot_wal_keep_size sets no limit" :
      `${percent(s.retained / s.retainedLimit)} of ${bytes(s.retainedLimit)}, then the slot is lost`]] },
  { id: "buffer", options: { ...sizes("buffer"), limit: (s) => s.bufferLimit },
    now: (s) => s.buffer === null ? "–" : bytes(s.buffer),
    note: (s) => [["", s.bufferLimit === null ? "" : `${percent(s.buffer / s.bufferLimit)} of ${bytes(s.bufferLimit)}, then reading pauses`]] },
];
for (const chart of charts) chart.plot = new Chart($(`${chart.id}-plot`), chart.options);

const position = (lsn) => lsn.split("/").reduce((high, low) => high * 2 ** 32 + parseInt(low, 16), 0);
const percent = (share) => `${short(100 * share)} %`;

const samples = [];
const events = new Events();
let status = null; // the last answer
let heard = performance.now(); // when it came, or when we began to ask
let trouble = ""; // why there was none to the last question
let marked = null; // the time that a person points at in the charts, in ms

/** The sample that an answer adds to the history. Rates are over the time since the answer before, by the process's clock. */
function sample(before, now) {
  const passed = before && before.since === now.since ? (Date.parse(now.at) - Date.parse(before.at)) / 1000 : 0;
  const rate = (read) => passed > 0 && read(before) !== undefined ? Math.max(0, read(now) - read(before)) / passed : null;
  const latency = now.latency?.transactions > 0 ? now.latency : null;
  const received = position(now.source.received_lsn), confirmed = position(now.source.confirmed_lsn);
  const s = {
    t: Date.now(), rate: rate((status) => status.events),
    p50: latency?.p50_seconds ?? null, p99: latency?.p99_seconds ?? null,
    // The slot is read every few seconds only; what the server has sent meanwhile is known.
    lag: now.slot ? Math.max(now.slot.confirmed_lag_bytes, confirmed > 0 ? received - confirmed : 0) : null,
    retained: now.slot?.retained_wal_bytes ?? null, retainedLimit: null,
    buffer: now.buffer?.bytes ?? null, bufferLimit: now.buffer?.limit_bytes ?? null,
  };
  if (typeof now.slot?.safe_wal_bytes === "number") s.retainedLimit = Math.max(1, s.retained + now.slot.safe_wal_bytes);
  for (const op of operations) s[op] = rate((status) => status.operations[op]);
  return s;
}

function receive(answer) {
  if (status !== null && status.version !== answer.version) {
    location.reload(); // another version's page may read /status differently
    return;
  }
  samples.push(sample(status, answer));
  while (samples[0].t < Date.now() - KEEP) samples.shift();
  status = answer;
  heard = performance.now();
  trouble = "";
  show();
  events.follow(answer.shows_events === true && !document.hidden);
}

async function ask() {
  try {
    const response = await fetch(beside("status"), { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    receive(await response.json());
  } catch (error) {
    trouble = error.message;
  }
  age();
}

/** Shows how old is what is shown, and says so plainly once it is old. */
function age() {
  const silent = performance.now() - heard;
  const lost = trouble !== "" || silent > LATE;
  document.body.dataset.state = lost ? "lost" : status === null ? "waiting" : "live";
  set("heard", lost ? `no answer for ${duration(silent / 1000)}` : "live");
  $("lost").hidden = !lost;
  if (lost && $("lost").textContent === "") {
    const what = document.createElement("strong");
    what.textContent = "This pgwitness does not answer.";
    const since = status === null ? "" : ` What is shown below is from ${new Date(Date.now() - silent).toLocaleTimeString("en-GB")}.`;
    $("lost").append(what, `${since} Look whether the process runs and whether its address can be reached; this page goes on asking${trouble && ` (${trouble})`}.`);
  }
  if (!lost) $("lost").replaceChildren();
  if (lost || status === null) $("well").hidden = true;
  if (!lost) return;
  drawCharts(); // with the gap
  document.title = `✕ no answer · ${status?.source.name ?? "pgwitness"}`;
}

function show() {
  const now = Date.now();
  const { source } = status;
  set("source", source.name || source.database || "pgwitness");
  set("followed", `${source.table} in ${source.database || "its database"}`);
  set("role", status.role ?? (source.connected ? "active" : "connecting"));
  $("role").dataset.role = $("role").textContent;
  set("version", `pgwitness ${status.version}`);
  set("uptime", `up ${duration((Date.parse(status.at) - Date.parse(status.since)) / 1000)}`);
  const wrong = showProblems(status.problems ?? []);
  document.title = `${wrong > 0 ? `(${wrong}) ` : ""}${$("source").textContent} · pgwitness`;
  // Ages are by the process's clock, which all its times are of: the browser's may be off.
  const at = Date.parse(status.at);
  showSinks(status.sinks, at);
  showTotals(status, at);
  showSlot(status, at);
  showStandbys(status.standbys ?? [], at);
  $("events-off").hidden = status.shows_events !== false;
  $("events-on").hidden = status.shows_events !== true;
  drawCharts(now);
}

function drawCharts(now = Date.now()) {
  if (samples.length === 0) return;
  const since = now - samples[0].t;
  const span = SPANS.find((s) => s >= since) ?? KEEP;
  if (marked !== null && marked < now - span) marked = null;
  const at = marked === null ? samples.at(-1) :
    samples.reduce((best, s) => Math.abs(s.t - marked) < Math.abs(best.t - marked) ? s : best);
  for (const { id, plot, now: headline, note } of charts) {
    plot.draw(samples, now, span, marked);
    const figure = $(id);
    figure.querySelector(".now").textContent = headline(at);
    figure.querySelector(".note").replaceChildren(...note(at).map(([className, text]) => {
      const part = document.createElement("span");
      part.className = className;
      part.textContent = text;
      return part;
    }), marked === null ? "" : ` ${new Date(at.t).toLocaleTimeString("en-GB")}`);
  }
}

for (const { id, plot } of charts) {
  const point = (time) => {
    marked = time;
    drawCharts();
  };
  plot.svg.addEventListener("pointermove", (event) => point(plot.timeAt(event.clientX)));
  plot.svg.addEventListener("pointerleave", () => point(null));
  $(id).addEventListener("blur", () => point(null));
  $(id).addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -5 * EVERY, ArrowRight: 5 * EVERY }[event.key];
    if (step) point(Math.max(samples[0]?.t ?? 0, Math.min(Date.now(), (marked ?? Date.now()) + step)));
    else if (event.key === "Escape") point(null);
    else return;
    event.preventDefault();
  });
}
addEventListener("resize", () => drawCharts());

// One question after another, on the second; none while nobody looks.
let next = 0;
async function loop() {
  clearTimeout(next);
  const began = performance.now();
  await ask();
  clearTimeout(next);
  if (!document.hidden) next = setTimeout(loop, Math.max(0, EVERY - (performance.now() - began)));
}
document.addEventListener("visibilitychange", () => {
  clearTimeout(next);
  if (document.hidden) {
    events.follow(false);
    return;
  }
  heard = performance.now(); // nobody asked meanwhile
  loop();
});
setInterval(() => { if (!document.hidden) age(); }, EVERY);
loop();
