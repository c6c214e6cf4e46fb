// Numbers, sizes, spans and times as text. Everything has its unit, and what is not known is a dash.

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
/** Three digits, and never fewer than there are before the point. */
const THREE = new Intl.NumberFormat("en", {
  maximumSignificantDigits: 3,
  maximumFractionDigits: 0,
  roundingPriority: "morePrecision",
});
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const TIME = new Intl.DateTimeFormat(undefined, CLOCK);
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** From here on a count is shortened: 1.235M. */
const LONG_COUNT = 1_000_000;
/** Older than this, in milliseconds, a time of day alone would mislead. */
const SAME_DAY = 20 * 3_600_000;

export const NOT_KNOWN = "–";
/** Stands between a number and its unit, which no line break may part. */
const GAP = "\u00a0";

export function count(n) {
  if (n == null) return NOT_KNOWN;
  return n >= LONG_COUNT ? SHORT.format(n) : COUNT.format(n);
}

/** Bytes, in powers of 1024. */
export function bytes(n) {
  if (n == null) return NOT_KNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = n < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(n) / 10));
  return THREE.format(n / 1024 ** power) + GAP + units[power];
}

/** Microseconds as a time that one can read. */
export function latency(us) {
  if (us == null) return NOT_KNOWN;
  if (us < 1000) return `${THREE.format(us)}${GAP}µs`;
  return us < 1_000_000 ? `${THREE.format(us / 1000)}${GAP}ms` : `${THREE.format(us / 1_000_000)}${GAP}s`;
}

/** Seconds as a span, in its two largest units at most. */
export function span(seconds) {
  if (seconds == null) return NOT_KNOWN;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** The viewer's time of day, with the date where it was not lately. Both are milliseconds since 1970. */
export function clock(at, now) {
  const time = TIME.format(at);
  return Math.abs(now - at) < SAME_DAY ? time : `${DATE.format(at)} ${time}`;
}

/** The same moment in UTC. */
export function utc(at) {
  return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** How often each: "traversal 31 · host 4", the most frequent first, none that is zero. */
export function tally(counts) {
  const some = Object.entries(counts).filter(([, n]) => n > 0);
  some.sort(([, a], [, b]) => b - a);
  return some.map(([name, n]) => `${name} ${count(n)}`).join(" · ") || NOT_KNOWN;
}

export function sum(counts) {
  return Object.values(counts).reduce((all, n) => all + n, 0);
}
