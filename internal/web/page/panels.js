// What the last answer says in words and tables. Nodes are made once and changed only where a text did, so that a screen
// reader is not told the same again every second, and a selection stays.

import { ago, bytes, count, duration, seconds, short } from "./format.js";

const $ = (id) => document.getElementById(id);

function element(name, className, text = "") {
  const e = document.createElement(name);
  e.className = className;
  e.textContent = text;
  return e;
}

/** Gives parent one child for each item, by key and in order, made by make and brought up to date by update. */
function keyed(parent, items, key, make, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, i) => {
    const k = key(item);
    let child = before.get(k);
    if (!child) {
      child = make(item);
      child.dataset.key = k;
    }
    before.delete(k);
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
    update(child, item);
  });
  for (const child of before.values()) child.remove();
}

const say = (node, text) => { if (node.textContent !== text) node.textContent = text; };

/** The parts of a text in which commands stand between backquotes. */
const withCode = (text) => text.split("`").map((part, i) => i % 2 ? element("code", "", part) : part);

/** Shows what is wrong, and returns of how much of it a person should do something about. */
export function showProblems(problems) {
  // What is wrong holds numbers that change; known by its kind it stays one item, which is read out once.
  const kinds = new Map();
  const kind = (p) => {
    const name = `${p.severity} ${p.metric}`;
    kinds.set(name, (kinds.get(name) ?? 0) + 1);
    return `${name} ${kinds.get(name)}`;
  };
  keyed($("alarms"), problems, kind, (p) => {
    const item = element("li", `problem ${p.severity}`);
    item.append(element("strong", ""), element("p", ""));
    return item;
  }, (item, p) => {
    say(item.firstChild, p.what);
    if (item.dataset.fix === p.fix) return;
    item.dataset.fix = p.fix ?? "";
    item.lastChild.replaceChildren(...withCode(item.dataset.fix));
  });
  $("well").hidden = problems.length > 0;
  return problems.filter((p) => p.severity !== "info").length;
}

/** Fills the table of sinks; at is the time of the answer, in ms. */
export function showSinks(sinks, at) {
  // A failing sink's error has a row of its own below: it is long, and the one text here that must not be cut.
  const rows = sinks.flatMap((s) => s.error ? [s, { ...s, row: "error" }] : [s]);
  keyed($("sinks"), rows, (s) => `${s.row ?? "sink"} ${s.name}`, (s) => {
    const tr = document.createElement("tr");
    if (s.row) {
      tr.className = "error";
      tr.append(element("td", ""));
      tr.firstChild.colSpan = 7;
      return tr;
    }
    const name = element("th", "");
    name.scope = "row";
    name.append(element("span", ""), element("small", ""));
    const state = element("td", "");
    state.append(element("span", "pill"));
    tr.append(name, state, ...["Events", "Per second", "Size", "Failures", "Last success"].map((label) => {
      const td = element("td", "number");
      td.dataset.label = label;
      return td;
    }));
    return tr;
  }, (tr, s) => {
    if (s.row) {
      const again = Date.parse(s.next_attempt) - at;
      say(tr.firstChild, s.error + (s.failing_since ? ` · failing for ${duration((at - Date.parse(s.failing_since)) / 1000)}` : "") +
        (again > 0 ? `, tried again in ${duration(Math.ceil(again / 1000))}` : s.next_attempt ? ", being tried again" : ""));
      return;
    }
    const [name, state, delivered, rate, size, failures, success] = tr.cells;
    say(name.firstChild, s.name);
    say(name.lastChild, [[s.filtered_events, "filtered out"], [s.dead_letter_events, "dead letters"]]
      .filter(([n]) => n > 0).map(([n, what]) => `${count(n)} ${what}`).join(", "));
    say(state.firstChild, s.state);
    state.firstChild.dataset.state = s.state;
    say(delivered, s.delivered_events === undefined ? "–" : count(s.delivered_events));
    say(rate, s.events_per_second ? short(s.events_per_second.last_10s) : "–");
    say(size, s.delivered_bytes === undefined ? "–" : bytes(s.delivered_bytes));
    say(failures, s.failures === undefined ? "–" : count(s.failures));
    say(success, s.last_success ? ago(Date.parse(s.last_success), at) : "–");
  });
}

/** Shows pairs of a term and a text in a dl; a third member is the class of the text. */
function facts(list, pairs) {
  keyed(list, pairs, ([term]) => term, ([term]) => {
    const group = element("div", "");
    group.append(element("dt", "", term), element("dd", ""));
    return group;
  }, (group, [, text, className = ""]) => {
    say(group.lastChild, text);
    group.lastChild.className = className;
  });
}

/** Shows the sums since the process began; at is the time of the answer, in ms. */
export function showTotals(status, at) {
  const alarming = (n, className) => n > 0 ? className : "";
  facts($("totals"), [
    ["events", count(status.events)],
    ["transactions", count(status.transactions)],
    ["newest committed", status.last_event ? ago(Date.parse(status.last_event), at) : "–"],
    ["of tampering", count(status.tamper_events), alarming(status.tamper_events, "critical")],
    ["of retention", count(status.retention_events)],
    ["incomplete", count(status.incomplete_events), alarming(status.incomplete_events, "warning")],
  ]);
}

const WAL = { reserved: "good", extended: "", unreserved: "critical", lost: "critical" };

/** Shows source, slot and server; at is the time of the answer, in ms. */
export function showSlot(status, at) {
  const { source, slot } = status;
  say($("slot-name"), source.slot);
  const pairs = [["publication", source.publication]];
  if (slot) {
    pairs.push(
      ["wal_status", slot.wal_status, WAL[slot.wal_status] ?? ""],
      ["consumer", slot.active ? "connected" : slot.inactive_since ? `none for ${duration((at - Date.parse(slot.inactive_since)) / 1000)}` : "none",
        slot.active ? "" : "warning"]);
  }
  pairs.push(
    ["streaming", source.streaming_since ? `for ${duration((at - Date.parse(source.streaming_since)) / 1000)}` :
      `no${source.last_error ? `: ${source.last_error}` : ""}`, source.connected ? "" : "warning"],
    ["received", source.received_lsn, "lsn"], ["confirmed", source.confirmed_lsn, "lsn"]);
  if (slot) {
    pairs.push(["safe to write", slot.safe_wal_bytes === null ? "no limit set" : bytes(slot.safe_wal_bytes)]);
    if (slot.failover !== undefined) pairs.push(["failover slot", slot.failover ? "yes" : "no"]);
    if (slot.spilled_transactions > 0) pairs.push(["spilled", `${count(slot.spilled_transactions)} transactions, ${bytes(slot.spilled_bytes)}`]);
    pairs.push(["read", ago(Date.parse(slot.at), at)]);
  }
  if (status.server) {
    const offset = status.server.clock_offset_seconds;
    pairs.push(["server's clock", Math.abs(offset) < 0.0005 ? "as ours" : `${seconds(Math.abs(offset))} ${offset > 0 ? "ahead" : "behind"}`]);
  }
  if (status.audit_table) {
    const { bytes: size, oldest_row: oldest } = status.audit_table;
    pairs.push(["audit table", bytes(size)]);
    if (oldest) pairs.push(["oldest row", ago(Date.parse(oldest), at)]);
  }
  facts($("slot"), pairs);
}

/** Shows the physical standbys whose synchronised slot is watched, if there are any. */
export function showStandbys(standbys, at) {
  $("standbys-panel").hidden = standbys.length === 0;
  keyed($("standbys"), standbys, (s) => s.name, () => {
    const tr = document.createElement("tr");
    const name = element("th", "");
    name.scope = "row";
    const ready = element("td", "");
    ready.append(element("span", "pill"), element("small", ""));
    tr.append(name, ready, element("td", "number"));
    return tr;
  }, (tr, s) => {
    const [name, ready, read] = tr.cells;
    say(name, s.name);
    say(ready.firstChild, s.ready ? "ready" : "not ready");
    say(ready.lastChild, s.problem ?? "");
    ready.firstChild.dataset.state = s.ready ? "ok" : "failing";
    say(read, s.at ? ago(Date.parse(s.at), at) : "–");
  });
}
