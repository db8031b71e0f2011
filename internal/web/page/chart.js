// One chart over time, in SVG, which takes its colours from the style sheet and so follows the colour scheme by itself.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 116, LEFT = 52, RIGHT = 4, TOP = 8, BOTTOM = 18;
const GAP = 6500; // ms between two samples over which no line is drawn: longer than an answer may take

const make = (parent, name, attributes = {}, text = "") => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  parent.append(element);
  return element;
};

/**
 * Chart draws samples, {t: ms, …}, into an svg element. Options: series, [{key, className}], drawn upon each other if
 * stacked; format, of a value on the axis; log, for a logarithmic axis that begins there; binary, for round numbers that are
 * powers of two; floor, the least that the axis reaches to; limit, which gives of a sample what a dashed line stands for.
 */
export class Chart {
  constructor(svg, options) {
    this.svg = svg;
    this.options = options;
    this.width = 0;
    svg.setAttribute("height", HEIGHT);
  }

  /** Draws what lies in the last span ms before now, with a line at the time marked, if there is one. */
  draw(samples, now, span, marked) {
    this.width = this.svg.clientWidth;
    if (this.width === 0) return;
    const { series, stacked, limit, format } = this.options;
    this.span = span;
    this.now = now;
    const shown = samples.filter((s) => s.t >= now - span - GAP && s.t <= now);
    const bounds = shown.map((s) => limit?.(s)).filter((v) => v > 0);
    const bound = bounds.at(-1);
    let top = 0;
    for (const s of shown) {
      const values = series.map(({ key }) => s[key] ?? 0);
      top = Math.max(top, stacked ? values.reduce((a, b) => a + b, 0) : Math.max(...values));
    }
    if (bound !== undefined && top > bound / 5) top = Math.max(top, bound * 1.04);
    const scale = this.options.log ? logScale(top, this.options.log) : linearScale(Math.max(top, this.options.floor), this.options.binary);
    const x = (t) => LEFT + (t - (now - span)) / span * (this.width - LEFT - RIGHT);
    const y = (v) => TOP + (1 - scale.position(v)) * (HEIGHT - TOP - BOTTOM);

    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.svg.replaceChildren();
    for (const tick of scale.ticks) {
      make(this.svg, "line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y(tick), y2: y(tick) });
      make(this.svg, "text", { class: "tick", x: LEFT - 8, y: y(tick) + 3.5, "text-anchor": "end" }, format(tick));
    }
    for (const t of timeTicks(now, span)) {
      if (x(t) < LEFT + 16 || x(t) > this.width - RIGHT - 24) continue;
      make(this.svg, "text", { class: "tick", x: x(t), y: HEIGHT - 3, "text-anchor": "middle" },
        new Date(t).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(span <= 120e3 && { second: "2-digit" }) }));
    }
    const clip = make(make(this.svg, "clipPath", { id: `${this.svg.id}-clip` }), "rect",
      { x: LEFT, y: 0, width: Math.max(0, this.width - LEFT - RIGHT), height: HEIGHT });
    const plot = make(this.svg, "g", { "clip-path": `url(#${clip.parentNode.id})` });
    const base = shown.map(() => 0);
    const bands = series.map(({ key, className }) => {
      const points = shown.map((s, i) => s[key] == null ? null : { t: s.t, low: base[i], high: base[i] + s[key] });
      if (stacked) points.forEach((p, i) => { if (p) base[i] = p.high; });
      return { points, className };
    });
    if (stacked) bands.reverse(); // where one is 0, the line to be seen is that of the one below
    for (const { points, className } of bands) {
      for (const run of runs(points)) {
        const line = run.map((p) => `${x(p.t).toFixed(1)},${y(p.high).toFixed(1)}`).join("L");
        const back = run.toReversed().map((p) => `${x(p.t).toFixed(1)},${y(p.low).toFixed(1)}`).join("L");
        make(plot, "path", { class: `area ${className}`, d: `M${line}L${back}Z` });
        make(plot, "path", { class: `line ${className}`, d: `M${line}` });
      }
    }
    if (bound !== undefined && scale.position(bound) <= 1) {
      make(plot, "line", { class: "limit", x1: LEFT, x2: this.width - RIGHT, y1: y(bound), y2: y(bound) });
    }
    if (marked !== null) {
      make(plot, "line", { class: "marked", x1: x(marked), x2: x(marked), y1: TOP, y2: HEIGHT - BOTTOM });
    }
  }

  /** The time at a horizontal position in the window. */
  timeAt(clientX) {
    const share = (clientX - this.svg.getBoundingClientRect().left - LEFT) / (this.width - LEFT - RIGHT);
    return this.now - this.span * (1 - Math.min(1, Math.max(0, share)));
  }
}

/** The points between the gaps. */
function runs(points) {
  const all = [];
  let last = null;
  for (const p of points) {
    if (p && last && p.t - last.t <= GAP) all.at(-1).push(p);
    else if (p) all.push([p]);
    last = p;
  }
  return all;
}

function linearScale(top, binary) {
  const rough = (top || 1) / 3;
  const power = binary ? 1024 ** Math.max(0, Math.floor(Math.log2(rough) / 10)) : 10 ** Math.floor(Math.log10(rough));
  const steps = binary ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10];
  const step = power * steps.find((s) => s * power >= rough);
  const end = Math.ceil((top || 1) / step) * step;
  return { position: (v) => v / end, ticks: Array.from({ length: Math.round(end / step) + 1 }, (_, i) => i * step) };
}

function logScale(top, from) {
  const first = Math.log10(from);
  const last = Math.max(first + 2, Math.ceil(Math.log10(top || from) - 1e-9));
  return {
    position: (v) => Math.max(0, (Math.log10(Math.max(v, from)) - first) / (last - first)),
    ticks: Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i)),
  };
}

function timeTicks(now, span) {
  const step = span <= 60e3 ? 15e3 : span <= 120e3 ? 30e3 : span <= 300e3 ? 60e3 : 120e3;
  const first = Math.ceil((now - span) / step) * step;
  return Array.from({ length: Math.floor((now - first) / step) + 1 }, (_, i) => first + i * step);
}
