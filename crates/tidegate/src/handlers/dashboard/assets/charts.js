// Four charts of the last five minutes, drawn by uPlot (a classic script, so a global). Colours and sizes are those of
// the style sheet: a series has the colour of its swatch in the legend, text that of the plot.

import { byId, make, say } from "./dom.js";
import { NOT_KNOWN, clock, count, latency } from "./format.js";

/** Seconds that a chart spans, and so the most that are kept. */
export const SPAN = 300;

/** Each chart: its series from the bottom up, each with its key (a class of the style sheet), its name and its value
 *  in one second, and how a value is written. `stacked` series stand upon each other. */
const CHARTS = {
  requests: { stacked: true, text: count, series: [["requests", "requests", (s) => s.requests]] },
  refusals: {
    stacked: true,
    text: count,
    series: [
      ["not_served", "not served", (s) => s.refusals.not_served],
      ["refused", "refused", (s) => s.refusals.refused],
      ["malformed", "malformed", (s) => s.refusals.malformed],
      ["too_slow", "too slow", (s) => s.refusals.too_slow],
      ["internal", "internal", (s) => s.refusals.internal],
    ],
  },
  latency: {
    stacked: false,
    text: latency,
    series: ["p50", "p90", "p99"].map((p) => [p, p, (s) => s.latency_us[p]]),
  },
  pool: {
    stacked: true,
    text: count,
    series: [
      ["busy", "at work", (s) => s.pool_busy],
      ["queue", "waiting", (s) => s.pool_queue],
    ],
    ceiling: (snapshot) => snapshot.pool.size,
  },
};

/** A count's axis ends no lower, so that a single request is no mountain. */
const COUNTS_LEAST = 5;
/** The latency axis where nothing was measured, in microseconds. */
const LATENCY_RANGE = [100, 10_000];

let charts = [];

/** Draws the charts anew: `seconds` is the history, the newest last. */
export function drawCharts(seconds, snapshot) {
  if (charts.length === 0) charts = Object.entries(CHARTS).map(([name, chart]) => new Chart(name, chart));
  for (const chart of charts) chart.draw(seconds, snapshot);
}

/** Takes the colours and sizes of the style sheet again. */
export function restyleCharts() {
  for (const chart of charts) chart.restyle();
}

class Chart {
  constructor(name, chart) {
    Object.assign(this, chart);
    this.figure = byId(`chart-${name}`);
    this.place = this.figure.querySelector(".plot");
    this.title = this.figure.querySelector("h2").textContent;
    this.time = make("time");
    this.figure.querySelector("h2").append(this.time);
    this.legend = this.series.map(([key, label]) => legendItem(this.figure.querySelector(".legend"), key, label));
    this.seconds = [];
    this.columns = [];
    new ResizeObserver(() => this.restyle()).observe(this.place);
  }

  draw(seconds, snapshot) {
    this.seconds = seconds;
    this.columns = this.series.map(([, , value]) => seconds.map(value));
    this.top = this.ceiling?.(snapshot);
    this.plot ??= new uPlot(this.options(), this.data(), this.place);
    this.plot.setData(this.data());
    this.showValues();
    this.describe();
  }

  restyle() {
    if (!this.plot || this.place.clientWidth === 0) return;
    this.plot.destroy();
    this.plot = new uPlot(this.options(), this.data(), this.place);
  }

  /** What uPlot draws: times, then the series from the top down, so that a lower one covers its part of the sum. */
  data() {
    const drawn = this.stacked ? sums(this.columns).reverse() : this.columns.map((column) => column.map(logarithmic));
    if (this.ceiling) drawn.push(this.seconds.map(() => this.top));
    return [this.seconds.map((second) => second.at), ...drawn];
  }

  options() {
    const style = getComputedStyle(this.place);
    const em = parseFloat(style.fontSize);
    const axis = {
      stroke: style.color,
      font: `${style.fontSize} ${style.fontFamily}`,
      grid: { stroke: style.outlineColor, width: 1 },
      ticks: { show: false },
      gap: em * 0.4,
    };
    return {
      width: this.place.clientWidth,
      height: this.place.clientHeight,
      padding: [em * 0.6, em, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false }, sync: { key: "tidegate" } },
      scales: { x: { time: true, range: () => this.times() }, y: this.scale() },
      axes: [
        { ...axis, size: em * 2, incrs: [60], values: (_, splits) => splits.map(minute) },
        { ...axis, size: (_, values) => em * (0.8 + 0.58 * longest(values)), space: em * 2.2, ...this.ticks() },
      ],
      series: [{}, ...this.strokes()],
      hooks: { setCursor: [() => this.showValues()] },
    };
  }

  /** The last five minutes, whether they are filled or not. */
  times() {
    const last = this.seconds.at(-1)?.at ?? 0;
    return [last - SPAN, last];
  }

  scale() {
    if (this.stacked) return { range: (_, low, high) => [0, Math.max(COUNTS_LEAST, (high ?? 0) * 1.08)] };
    return { distr: 3, range: (_, low, high) => decades(low, high) };
  }

  ticks() {
    const values = (_, splits) => splits.map(this.text);
    if (this.stacked) return { values, incrs: WHOLE_STEPS };
    return { values, splits: (_, axis, low, high) => powers(low, high), filter: (_, splits) => splits };
  }

  strokes() {
    const colours = this.legend.map(({ swatch }) => getComputedStyle(swatch).color);
    if (!this.stacked) return colours.map((stroke) => ({ stroke, width: 1.75, points: { show: false } }));
    const paths = uPlot.paths.stepped({ align: -1 });
    const areas = colours.map((fill) => ({ fill, stroke: fill, width: 0, paths, points: { show: false } })).reverse();
    const line = { stroke: getComputedStyle(this.place).color, width: 1.25, dash: [6, 5], points: { show: false } };
    return this.ceiling ? [...areas, line] : areas;
  }

  /** The legend tells the values under the cursor; without one the newest. */
  showValues() {
    const at = this.plot.cursor.idx ?? this.seconds.length - 1;
    this.legend.forEach(({ value }, index) => say(value, this.text(this.columns[index][at])));
    const hovered = this.plot.cursor.idx != null && this.seconds[at];
    say(this.time, hovered ? clock(hovered.at * 1000, hovered.at * 1000) : "");
  }

  /** For who cannot see the picture. */
  describe() {
    const parts = this.series.map(([, label], index) => {
      const known = this.columns[index].filter((value) => value != null);
      const most = known.length > 0 ? this.text(Math.max(...known)) : NOT_KNOWN;
      return `${label} now ${this.text(this.columns[index].at(-1))}, at most ${most}`;
    });
    this.place.setAttribute("aria-label", `${this.title}, the last five minutes: ${parts.join("; ")}`);
  }
}

/** Steps of an axis of whole things. */
const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

function legendItem(list, key, label) {
  const swatch = make("i", { class: `swatch ${key}`, "aria-hidden": "true" });
  const value = make("b", { text: NOT_KNOWN });
  list.append(make("li", {}, swatch, make("span", { text: label }), value));
  return { swatch, value };
}

/** Each column with all below it added. */
function sums(columns) {
  const below = [];
  return columns.map((column) => column.map((value, index) => (below[index] = (below[index] ?? 0) + value)));
}

/** A log scale has no zero: what took no microsecond is drawn as one. */
function logarithmic(value) {
  return value == null ? null : Math.max(1, value);
}

/** Powers of ten around what was measured. */
function decades(low, high) {
  if (low == null || high == null) return LATENCY_RANGE;
  const [least, most] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  return [10 ** least, 10 ** Math.max(most, least + 1)];
}

/** The powers of ten from `low` to `high`, which are such. */
function powers(low, high) {
  const least = Math.round(Math.log10(low));
  return Array.from({ length: Math.round(Math.log10(high)) - least + 1 }, (_, index) => 10 ** (least + index));
}

function longest(texts) {
  return Math.max(0, ...(texts ?? []).map((text) => String(text ?? "").length));
}

function minute(at) {
  return clock(at * 1000, at * 1000).slice(0, 5);
}
