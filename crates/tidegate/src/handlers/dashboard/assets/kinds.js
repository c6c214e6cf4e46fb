// Events by kind: for each kind a strip of the last five minutes in cells of five seconds, and its counts. One look
// tells a lasting attack from a burst, and which of them came together.

import { byId, cell, head, keep, make, row, say } from "./dom.js";
import { SPAN } from "./charts.js";
import { count } from "./format.js";

/** Every kind that the server knows, in the order of the rows. */
export const KINDS = ["traversal", "host", "malformed", "slow", "rate", "connections", "admin", "scan", "ban"];

/** Seconds in a cell of a strip. */
const CELL = 5;
const CELLS = SPAN / CELL;
/** Events in a cell that make it as strong as it gets; between one and these by the logarithm. */
const STRONGEST = 100;
/** Strength of a cell with one event: plain to see beside an empty one. */
const WEAKEST = 0.4;

export function showKinds(seconds, snapshot) {
  const items = KINDS.map((kind) => ({
    kind,
    cells: cells(seconds, kind, snapshot.second.at),
    lately: seconds.reduce((all, second) => all + (second.events[kind] ?? 0), 0),
    total: snapshot.totals.events[kind] ?? 0,
  }));
  keep(byId("kinds-rows"), items, (item) => item.kind, create);
}

const columns = [
  head((item) => item.kind),
  strip,
  cell((item) => count(item.lately), { class: "number" }),
  cell((item) => count(item.total), { class: "number" }),
];

function create(item) {
  const [element, update] = row(columns)(item);
  return [
    element,
    (next) => {
      element.classList.toggle("quiet", next.lately === 0);
      update(next);
    },
  ];
}

/** Counts for each cell, the oldest first. Cells stand at whole multiples of their length, so that they do not
 *  flicker as time goes on. */
function cells(seconds, kind, now) {
  const newest = Math.floor(now / CELL);
  const counts = new Array(CELLS).fill(0);
  for (const second of seconds) {
    const place = CELLS - 1 - (newest - Math.floor(second.at / CELL));
    if (place >= 0 && place < CELLS) counts[place] += second.events[kind] ?? 0;
  }
  return counts;
}

function strip() {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const told = make("span", { class: "unseen" });
  const update = (item) => {
    paint(canvas, item.cells);
    const busy = item.cells.filter((events) => events > 0).length;
    say(told, `events in ${busy} of ${CELLS} cells`);
  };
  return [make("td", { role: "cell", class: "strip" }, canvas, told), update];
}

function paint(canvas, counts) {
  const style = getComputedStyle(canvas);
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  const pen = canvas.getContext("2d");
  const edge = (place) => Math.round((place * canvas.width) / CELLS);
  const gap = Math.max(1, Math.round(devicePixelRatio));
  counts.forEach((events, place) => {
    pen.globalAlpha = events > 0 ? strength(events) : 1;
    pen.fillStyle = events > 0 ? style.color : style.outlineColor;
    pen.fillRect(edge(place), 0, edge(place + 1) - edge(place) - gap, canvas.height);
  });
}

function strength(events) {
  return Math.min(1, WEAKEST + ((1 - WEAKEST) * Math.log(events)) / Math.log(STRONGEST));
}
