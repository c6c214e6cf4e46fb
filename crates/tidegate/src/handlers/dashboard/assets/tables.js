// The tables of clients and events. What a client sent comes in here, and goes out as text (see dom.js).

import { byId, cell, head, keep, make, row, say, share, visible } from "./dom.js";
import { KINDS } from "./kinds.js";
import { clock, count, tally, utc } from "./format.js";

/** The most events that are kept and shown. */
const EVENTS_MOST = 50;
/** Milliseconds without a move or a key after which nobody reads any more: a mouse that was left on the table must
 *  not hide an attack. */
const READING = 30_000;

let newest = [];
/** The events that stay while somebody reads; none when nobody does. */
let held = null;
/** When the viewer last moved the mouse or pressed a key over the events. */
let lastMove = -READING;

/** The newest events, unless the viewer reads: then they wait, and their number is told. */
export function showEvents(snapshot) {
  newest = snapshot.events.slice(0, EVENTS_MOST);
  drawEvents();
}

/** Wires the filter and the pause. */
export function readyEvents() {
  const filter = byId("events-kind");
  filter.append(...KINDS.map((kind) => make("option", { value: kind, text: kind })));
  filter.addEventListener("change", drawEvents);
  const button = byId("events-pause");
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(!isPaused()));
    drawEvents();
  });
  for (const move of ["pointermove", "keyup", "focusin"]) {
    byId("events").addEventListener(move, () => (lastMove = performance.now()));
  }
}

function drawEvents() {
  held = reads() ? (held ?? newest) : null;
  const shown = (held ?? newest).filter(isChosen);
  keep(byId("events-rows"), shown, eventKey, eventRow);
  byId("events-none").hidden = shown.length > 0;
  const known = new Set((held ?? newest).map(eventKey));
  const waiting = newest.filter((event) => isChosen(event) && !known.has(eventKey(event))).length;
  const more = waiting === EVENTS_MOST ? `${waiting} or more newer` : `${waiting} newer`;
  say(byId("events-note"), held === null ? "" : waiting > 0 ? `held while you read · ${more}` : "held while you read");
}

/** Whether somebody reads: the button says so, or mouse or keyboard are at the rows and moved lately. */
function reads() {
  const table = byId("events-rows").closest(".scroll");
  const here = table.matches(":hover, :focus-visible") || table.querySelector(":focus-visible") !== null;
  return isPaused() || (here && performance.now() - lastMove < READING);
}

function isPaused() {
  return byId("events-pause").getAttribute("aria-pressed") === "true";
}

function isChosen(event) {
  const kind = byId("events-kind").value;
  return kind === "" || event.kind === kind;
}

const eventKey = (event) => `${event.at} ${event.id} ${event.kind}`;

const eventRow = row([
  moment((event) => event.at),
  kindCell,
  head((event) => visible(event.client)),
  cell((event) => visible(event.request), { class: "code request" }, (event) => visible(event.request)),
  cell((event) => visible(event.evidence), { class: "evidence" }, (event) => visible(event.evidence)),
  whyCell,
]);

/** A time of day; hovering tells it in UTC. */
export function moment(at, attributes = {}) {
  return () => {
    const time = make("time");
    const update = (item) => {
      say(time, clock(at(item), Date.now()));
      time.dateTime = new Date(at(item)).toISOString();
      time.title = utc(at(item));
    };
    return [make("td", { role: "cell", ...attributes }, time), update];
  };
}

function kindCell() {
  const chip = make("span", { class: "chip" });
  const update = (event) => {
    say(chip, visible(event.kind));
    chip.title = visible(event.code);
  };
  return [make("td", { role: "cell", class: "kind" }, chip), update];
}

function whyCell() {
  const link = make("a");
  return [make("td", { role: "cell", class: "why" }, link), ({ id }) => explain(link, id)];
}

/** Makes `link` lead to the explanation of the refusal `id`. */
export function explain(link, id) {
  say(link, id.slice(0, 8));
  link.href = `/status/refusals/${encodeURIComponent(id)}`;
  link.title = `Explain refusal ${id}`;
  link.setAttribute("aria-label", link.title);
}

const BANNED = { no: "", shadow: "would be banned", yes: "banned" };

const offenderRow = row([
  offenderCell,
  barCell((offender) => offender.refusals),
  moment((offender) => offender.last_seen, { class: "number" }),
]);

export function showOffenders({ offenders }) {
  const most = Math.max(1, ...offenders.map((offender) => offender.refusals));
  const items = offenders.map((offender) => ({ ...offender, most }));
  keep(byId("offenders-rows"), items, (offender) => offender.client, offenderRow);
  byId("offenders-none").hidden = offenders.length > 0;
}

function offenderCell() {
  const client = make("bdi");
  const chip = make("span", { class: "chip ban" });
  const events = make("span", { class: "under" });
  const update = (offender) => {
    say(client, visible(offender.client));
    say(chip, BANNED[offender.banned] ?? "");
    chip.hidden = chip.textContent === "";
    say(events, tally(offender.events));
    events.title = events.textContent;
  };
  return [make("th", { role: "rowheader", scope: "row" }, client, " ", chip, events), update];
}

/** A number with a bar beside it, as long as its part of `most`. */
function barCell(value) {
  return () => {
    const number = make("span");
    const element = make("td", { role: "cell", class: "number barred" }, number);
    const update = (item) => {
      say(number, count(value(item)));
      share(element, value(item) / item.most);
    };
    return [element, update];
  };
}

const limitedRow = row([
  head((limited) => visible(limited.client)),
  barCell((limited) => limited.refused),
  moment((limited) => limited.last_seen, { class: "number" }),
]);

export function showLimits({ rate_limit: { policy, tracked, limited } }) {
  const most = Math.max(1, ...limited.map((client) => client.refused));
  keep(byId("limits-rows"), limited.map((client) => ({ ...client, most })), (client) => client.client, limitedRow);
  byId("limits-none").hidden = limited.length > 0;
  say(byId("limits-none"), policy === "off" ? "There is no rate limit." : "Nobody is over the rate.");
  say(byId("limits-note"), policy === "off" ? "off" : `${policy} · ${count(tracked)} clients`);
}
