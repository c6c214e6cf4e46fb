// The security dashboard: each second one snapshot comes in and is drawn.
//
//     stream ─► history (300 s) ─► verdict, title, icon        always
//                               ─► figures, charts, tables     while the page is seen
//
// What is kept is bounded, so the page may stay open for months.

import { readyBans, showBans } from "./bans.js";
import { SPAN, drawCharts, restyleCharts } from "./charts.js";
import { showFigures } from "./figures.js";
import { showKinds } from "./kinds.js";
import { follow } from "./stream.js";
import { readyEvents, showEvents, showLimits, showOffenders } from "./tables.js";
import { showThreads } from "./tiles.js";
import { showTls } from "./tls.js";
import { showLost, showVerdict } from "./verdict.js";

/** The last seconds, the newest last; and the newest snapshot, none before the first. */
let seconds = [];
let latest = null;

readyBans();
readyEvents();
document.addEventListener("visibilitychange", draw);
document.addEventListener("colours", () => {
  restyleCharts();
  draw();
});
follow("/security-dashboard/events", {
  history(all) {
    seconds = all.slice(-SPAN);
  },
  snapshot(snapshot) {
    // Another server may speak another shape: it brings its own page.
    if (latest !== null && latest.version !== snapshot.version) location.reload();
    latest = snapshot;
    append(snapshot.second);
    showVerdict(snapshot);
    draw();
  },
  lost: showLost,
});

/** The history may end with the second that the first snapshot brings. */
function append(second) {
  seconds = seconds.filter(({ at }) => at < second.at && at >= second.at - SPAN);
  seconds.push(second);
}

function draw() {
  if (latest === null || document.hidden) return;
  showFigures(latest);
  drawCharts(seconds, latest);
  showEvents(latest);
  showKinds(seconds, latest);
  showOffenders(latest);
  showThreads(latest);
  showBans(latest);
  showLimits(latest);
  showTls(latest);
}
