// The live stream: one EventSource at a time, and a watch over it.
//
//     connecting ─► history, snapshot ─► live ─► error, or silence ─► lost ─► pause ─► connecting
//
// The browser would try again by itself after some errors and give up after others (a 503 to one viewer too many).
// Here every end is the same: close, say so, pause, try again.

/** The server sends each second; this many milliseconds without are three that did not come. */
const SILENCE = 3500;
/** What comes first is five minutes of history: on a slow line that takes longer. */
const FIRST_SILENCE = 15_000;
/** Milliseconds to the next attempt: the first, and the most. It doubles, so that a server that restarts is not run
 *  down by its viewers. */
const PAUSE_FIRST = 1000;
const PAUSE_MOST = 15_000;

/** Follows the stream at `url` for as long as the page lives. `seen.history(seconds)` comes first after each
 *  connecting, `seen.snapshot(snapshot)` each second, `seen.lost()` once each time it ends. */
export function follow(url, seen) {
  let source = null;
  let silence = 0;
  let attempt = 0;
  let pause = PAUSE_FIRST;
  let lost = false;

  const open = () => {
    clearTimeout(attempt);
    source?.close();
    source = new EventSource(url);
    source.addEventListener("history", (message) => seen.history(JSON.parse(message.data).seconds));
    source.addEventListener("snapshot", (message) => {
      watch();
      pause = PAUSE_FIRST;
      lost = false;
      seen.snapshot(JSON.parse(message.data));
    });
    source.addEventListener("error", end);
    watch(FIRST_SILENCE);
  };
  const watch = (patience = SILENCE) => {
    clearTimeout(silence);
    silence = setTimeout(end, patience);
  };
  const end = () => {
    clearTimeout(silence);
    source.close();
    if (!lost) seen.lost();
    lost = true;
    clearTimeout(attempt);
    attempt = setTimeout(open, pause);
    pause = Math.min(PAUSE_MOST, pause * 2);
  };
  // A laptop that wakes up need not wait for the pause.
  addEventListener("online", () => lost && open());
  open();
}
