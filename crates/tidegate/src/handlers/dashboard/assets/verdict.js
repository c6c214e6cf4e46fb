// The one line that is read from three metres: state by word, colour and shape, and what to do. The title and the
// icon of the tab say it too, so that a hidden tab still tells.

import { byId, say, visible } from "./dom.js";
import { clock, count, span, utc } from "./format.js";

/** Each state: its word, and its sign in the title, where there is neither colour nor shape. */
const STATES = {
  well: ["Well", "✓"],
  watch: ["Watch", "▲"],
  attack: ["Under attack", "✖"],
  overload: ["Overloaded", "■"],
  degraded: ["Degraded", "◆"],
  lost: ["Connection lost", "○"],
};

/** Characters from which a line is set smaller, so that it stays one line on a wall. */
const LONG = 64;

/** When the last data came, in the server's milliseconds; none yet. */
let last = null;

export function showVerdict(snapshot) {
  const { level, line, advice } = snapshot.verdict;
  last = snapshot.at;
  show(Object.hasOwn(STATES, level) ? level : "watch", visible(line), visible(advice));
  say(byId("live"), "Live");
  showClock(last);
  const viewers = snapshot.viewers === 1 ? "1 viewer" : `${count(snapshot.viewers)} viewers`;
  const facts = [visible(snapshot.version), `up ${span(Math.floor(snapshot.uptime_seconds))}`, viewers];
  if (!snapshot.reload.ok) facts.push("last reload refused");
  say(byId("about"), facts.join(" · "));
}

/** Says that what is shown is not live, and from when it is. */
export function showLost() {
  const since = last === null ? "There was no data yet." : `Last data from ${clock(last, Date.now())}.`;
  show("lost", since, "Nothing below is live. Trying to connect again.");
  say(byId("live"), "Not live");
}

function show(level, line, advice) {
  const [word, sign] = STATES[level];
  say(byId("level"), word);
  say(byId("line"), line);
  byId("line").classList.toggle("long", line.length > LONG);
  say(byId("advice"), advice);
  if (document.body.dataset.level === level) return;
  document.body.dataset.level = level;
  document.title = `${sign} ${word} · tidegate`;
  byId("icon").href = `/security-dashboard/state-${level}.svg`;
  // Read out when the state changes, and not when only its numbers do.
  say(byId("announcement"), `${word}. ${line} ${advice}`);
}

function showClock(at) {
  const time = byId("clock");
  say(time, clock(at, at));
  time.dateTime = new Date(at).toISOString();
  time.title = utc(at);
}
