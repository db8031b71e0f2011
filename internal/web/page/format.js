// Numbers, times and rows as a person reads them: pure functions.

const grouped = new Intl.NumberFormat("en");

/** A whole number with its thousands apart: "1,470". */
export const count = (n) => grouped.format(Math.round(n));

/** A number in few characters: "0.4", "98", "1.2k", "5.6M". */
export function short(n) {
  for (const unit of ["", "k", "M", "G", "T"]) {
    if (Math.abs(n) < 999.5 || unit === "T") return digits(n) + unit;
    n /= 1000;
  }
}

/** A size in bytes: "0 B", "12.5 MiB". */
export function bytes(n) {
  if (Math.abs(n) < 1024) return `${Math.round(n)} B`;
  for (const unit of ["KiB", "MiB", "GiB", "TiB", "PiB"]) {
    n /= 1024;
    if (Math.abs(n) < 1023.5 || unit === "PiB") return `${digits(n)} ${unit}`;
  }
}

/** A measured time, given in seconds: "0.9 ms", "12 s". */
export function seconds(s) {
  if (s < 0.9995) return `${digits(s * 1e3)} ms`;
  if (s < 99.5) return `${digits(s)} s`;
  return duration(s);
}

/** A length of time, given in seconds, in its two largest units: "4 min 3 s", "2 h 11 min", "3 d". */
export function duration(s) {
  s = Math.max(0, Math.floor(s));
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].map(([size, unit]) => {
    const whole = Math.floor(s / size);
    s -= whole * size;
    return [whole, unit];
  });
  const first = parts.findIndex(([whole]) => whole > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([whole]) => whole > 0).map(([whole, unit]) => `${whole} ${unit}`).join(" ");
}

/** How long ago a time (in ms) was: "now", "12 s ago". */
export const ago = (then, now) => now - then < 1500 ? "now" : `${duration((now - then) / 1000)} ago`;

const digits = (n) => {
  const size = Math.abs(n);
  return n === 0 ? "0" : String(Number(n.toFixed(size < 0.995 ? 2 : size < 9.95 ? 1 : 0)));
};

/**
 * JSON without loss: numbers that a float64 cannot hold (jsonb may be as precise as numeric) keep their digits where the
 * browser lets us read them.
 */
export const parse = (text) => JSON.parse(text, (key, value, context) =>
  typeof value === "number" && context?.source !== undefined && JSON.rawJSON && String(value) !== context.source
    ? JSON.rawJSON(context.source) : value);

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !JSON.isRawJSON?.(value);
const text = (value) => typeof value === "string" ? value : JSON.stringify(value) ?? "";

/** What a row_data says, in a line: "#7 status open → paid". Any shape will do; those of the capture and the seed read best. */
export function summary(data) {
  if (data === null || data === undefined) return "";
  if (!isObject(data)) return text(data);
  const before = isObject(data.old), after = isObject(data.new);
  const row = after ? data.new : before ? data.old : data;
  const key = isObject(data.key) ? data.key : { id: data.id };
  const parts = [];
  for (const [name, value] of Object.entries(row)) {
    if (name in key || row === data && name === "event_type") continue;
    if (!(before && after)) {
      if (value !== null) parts.push(`${name} ${text(value)}`);
    } else if (text(data.old[name]) !== text(value)) {
      parts.push(`${name} ${text(data.old[name])} → ${text(value)}`);
    }
  }
  const which = Object.values(key).filter((value) => value !== null && value !== undefined).map(text).join(",");
  return `${which && `#${which} `}${parts.join(", ")}`.trim();
}
