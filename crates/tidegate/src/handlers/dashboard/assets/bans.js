// The bans: who, why, until when, on which evidence; and the one thing that this page can change, lifting one.

import { byId, cell, keep, make, row, say, visible } from "./dom.js";
import { clock, count, span, utc } from "./format.js";
import { explain } from "./tables.js";

const LIFT = "/security-dashboard/bans/lift";

let now = 0;
/** The client of the open question. */
let asked = null;

export function showBans({ at, bans: { mode, count: all, list } }) {
  now = at;
  keep(byId("bans-rows"), list, (ban) => ban.client, banRow);
  byId("bans-none").hidden = list.length > 0;
  say(byId("bans-none"), mode === "off" ? "Bans are off." : "Nobody is banned.");
  const cut = all > list.length ? ` · ${count(list.length)} of ${count(all)}` : "";
  say(byId("bans-note"), (NOTES[mode] ?? mode) + cut);
}

const NOTES = { off: "off", shadow: "shadow: nobody is refused for it", on: "on" };

/** Wires the question before a ban is lifted. */
export function readyBans() {
  byId("lift-no").addEventListener("click", () => byId("lift").close());
  byId("lift-yes").addEventListener("click", () => {
    byId("lift").close();
    lift(asked);
  });
}

const banRow = row([
  clientCell,
  cell((ban) => visible(ban.reason) + (ban.times > 1 ? ` ×${ban.times}` : "")),
  cell((ban) => span(Math.max(0, Math.floor((ban.until - now) / 1000))), { class: "number ends" }, until),
  liftCell,
]);

function until(ban) {
  return `from ${utc(ban.since)} to ${utc(ban.until)}`;
}

/** The client, and its evidence to unfold. */
function clientCell() {
  const client = make("bdi");
  const chip = make("span", { class: "chip ban", text: "shadow" });
  const list = make("ul");
  const evidence = make("details", {}, make("summary", {}, client, " ", chip), list);
  const update = (ban) => {
    say(client, visible(ban.client));
    chip.hidden = !ban.shadow;
    keep(list, ban.evidence, (offence) => `${offence.at} ${offence.id}`, offenceItem);
  };
  return [make("th", { role: "rowheader", scope: "row" }, evidence), update];
}

function offenceItem() {
  const [time, text, link] = ["time", "bdi", "a"].map((tag) => make(tag));
  const update = (offence) => {
    say(time, clock(offence.at, now));
    time.title = utc(offence.at);
    say(text, `${visible(offence.kind)}: ${visible(offence.text)}`);
    explain(link, offence.id);
  };
  return [make("li", {}, time, " ", text, " ", link), update];
}

function liftCell() {
  const button = make("button", { type: "button", text: "Lift" });
  let client = "";
  button.addEventListener("click", () => ask(client));
  const update = (ban) => {
    client = ban.client;
    button.setAttribute("aria-label", `Lift the ban of ${visible(client)}`);
  };
  return [make("td", { role: "cell", class: "number" }, button), update];
}

function ask(client) {
  asked = client;
  say(byId("lift-client"), visible(client));
  byId("lift").showModal();
}

async function lift(client) {
  say(byId("bans-said"), `Lifting the ban of ${visible(client)}.`);
  say(byId("bans-said"), await outcome(client));
}

/** One sentence on what came of it. */
async function outcome(client) {
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch(LIFT, { method: "POST", headers, body: JSON.stringify({ client }) });
    const said = await answer.json();
    if (!answer.ok) return `Not lifted: ${visible(said.detail ?? said.title)}`;
    return said.lifted ? `The ban of ${visible(client)} is lifted.` : `${visible(client)} was not banned any more.`;
  } catch {
    return "Not lifted: the server gave no answer that can be read.";
  }
}
