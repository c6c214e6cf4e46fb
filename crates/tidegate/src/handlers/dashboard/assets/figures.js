// The numbers of this second, and the bars of memory and files.

import { byId, keep, make, say, share } from "./dom.js";
import { NOT_KNOWN, bytes, count, latency, sum } from "./format.js";

/** What stands in each `data-value`. */
const FIGURES = {
  requests: (s) => count(s.second.requests),
  requests_more: (s) => `${count(s.totals.requests)} in all`,
  refusals: (s) => count(sum(s.second.refusals)),
  refusals_more: (s) => `${count(sum(s.totals.refusals))} in all`,
  latency: (s) => latency(s.second.latency_us.p99),
  latency_more: (s) => `p50 ${latency(s.second.latency_us.p50)} · p90 ${latency(s.second.latency_us.p90)}`,
  connections: (s) => count(s.second.connections),
  connections_more: (s) => `${count(s.second.active)} active · peak ${count(s.totals.connections_peak)}`,
  pool: (s) => `${count(s.pool.busy)}/${count(s.pool.size)}`,
  pool_more: ({ pool }) => `queue ${pool.queue_depth}/${pool.queue_limit} · full ${count(pool.saturations)}×`,
  sent: (s) => bytes(s.second.bytes_sent),
  sent_more: (s) => uploads(s.totals.uploads),
  memory: (s) => bytes(s.memory.resident_bytes),
  memory_more: (s) => `CPU ${processor(s)}`,
  bans: (s) => count(s.bans.count),
  bans_more: (s) => shadows(s.bans),
};

/** The bars: name, what is used, of how much (0 is no limit, none no bar), and how it is written. */
const METERS = [
  ["Bodies in memory", (s) => s.memory.bodies_bytes, (s) => s.memory.bodies_limit, bytes],
  ["Open files", (s) => s.memory.open_files, (s) => s.memory.open_files_limit, count],
  ["Pool queue", (s) => s.pool.queue_depth, (s) => s.pool.queue_limit, count],
  ["Clients in the rate table", (s) => s.rate_limit.tracked, (s) => s.rate_limit.capacity, count],
  ["Log lines dropped", (s) => s.log_dropped, () => null, count],
];

/** A bar this full is drawn as a warning. */
const NEARLY_FULL = 0.8;

export function showFigures(snapshot) {
  for (const node of document.querySelectorAll("[data-value]")) say(node, FIGURES[node.dataset.value](snapshot));
  const line = ([name, used, limit, text]) => ({ name, used: used(snapshot), limit: limit(snapshot), text });
  keep(byId("meters"), METERS.map(line), ({ name }) => name, meter);
}

function meter({ name }) {
  const value = make("dd");
  const bar = make("dd", { class: "bar" });
  const element = make("div", {}, make("dt", { text: name }), value, bar);
  const update = ({ used, limit, text }) => {
    say(value, limit === null ? text(used) : `${text(used)} of ${limit > 0 ? text(limit) : "no limit"}`);
    bar.hidden = !limit;
    share(bar, used / limit);
    bar.classList.toggle("full", used / limit >= NEARLY_FULL);
  };
  return [element, update];
}

function uploads({ stored, refused, failed }) {
  return `uploads ${count(stored)}` + (refused + failed > 0 ? ` · not stored ${count(refused + failed)}` : "");
}

function shadows({ mode, list }) {
  const shadow = list.filter((ban) => ban.shadow).length;
  return shadow > 0 && mode === "on" ? `mode on · ${count(shadow)} in shadow` : `mode ${mode}`;
}

/** Milliseconds between two snapshots from which on the difference of their processor times says something. */
const APART = 500;

let measured = { at: 0, used: 0, text: NOT_KNOWN };

/** Processor time used since the snapshot before, in hundredths of one core. */
function processor({ at, memory: { cpu_seconds: used } }) {
  const passed = at - measured.at;
  if (passed < APART) return measured.text;
  const part = ((used - measured.used) * 100_000) / passed;
  measured = { at, used, text: measured.at === 0 ? NOT_KNOWN : `${part.toFixed(0)} %` };
  return measured.text;
}
