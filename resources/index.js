// The front page's gauge and cargo list: each figure is asked of the server while you watch.

import { duration, exchange, problem, protocol, size } from "./probe.js";

/** Pause between two health checks in milliseconds: alive to the eye, nothing to the server. */
const BEAT_MS = 4000;

/** The first checks come faster, so that the tide line has a shape before the reader looks away. */
const FIRST_BEATS = 8;
const FIRST_BEAT_MS = 250;

/** Round trips kept for the tide line: about two minutes. */
const KEPT = 32;

const at = (id) => document.getElementById(id);
const roundTrips = [];

at("protocol").textContent = protocol();
at("ask").addEventListener("click", askForNothing);
beat();
readTag();
weighCargo();

/** Health and latency, again and again while the page is looked at. */
async function beat(count = 1) {
  if (!document.hidden) {
    try {
      showHealth(await exchange({ target: "/healthz" }));
    } catch {
      showSilence();
    }
  }
  setTimeout(beat, count < FIRST_BEATS ? FIRST_BEAT_MS : BEAT_MS, count + 1);
}

function showHealth({ status, millis }) {
  write("health", status === 200 ? "Alive" : `Answers ${status}`, status === 200 ? "ok" : "bad");
  at("health-note").textContent = `GET /healthz said ${status} at ${new Date().toLocaleTimeString()}.`;
  roundTrips.push(millis);
  if (roundTrips.length > KEPT) roundTrips.shift();
  write("latency", duration(millis));
  const best = duration(Math.min(...roundTrips));
  const count = roundTrips.length === 1 ? "1 round trip" : `${roundTrips.length} round trips`;
  at("latency-note").textContent = `Best of ${count}: ${best}.`;
  drawTide();
}

function showSilence() {
  write("health", "Silent", "bad");
  at("health-note").textContent = "No answer to GET /healthz. The server may have stopped.";
}

/** The round trips as a water line, newest at the right; the slowest one sets the scale. */
function drawTide() {
  const top = Math.max(...roundTrips) * 1.15;
  const step = 240 / Math.max(1, roundTrips.length - 1);
  const points = roundTrips.map((millis, i) => `${(i * step).toFixed(1)} ${(50 - 44 * (millis / top)).toFixed(1)}`);
  at("tide-edge").setAttribute("d", `M${points.join("L")}`);
  at("tide-water").setAttribute("d", `M${points.join("L")}V50H0Z`);
}

/** The page's own validator, then a conditional request that should cost no body (RFC 9110 §13). */
async function readTag() {
  try {
    const head = await exchange({ method: "HEAD", target: "/" });
    const etag = head.fields.get("etag");
    if (etag === null) return write("etag", "none sent");
    write("etag", etag);
    const again = await exchange({ target: "/", fields: { "If-None-Match": etag } });
    at("etag-note").textContent =
      `Asked again with If-None-Match: ${again.status}, ${again.bytes.length} bytes of body, ${duration(again.millis)}.`;
  } catch {
    write("etag", "no answer");
  }
}

/** One harmless refusal on request, to show that it explains itself. */
async function askForNothing() {
  try {
    const answer = await exchange({ target: "/no-such-boat", fields: { Accept: "application/json" } });
    const why = problem(answer);
    write("refusal", why === null ? String(answer.status) : `${answer.status} ${why.code}`);
    const id = answer.fields.get("x-request-id");
    at("refusal-note").textContent =
      id === null ? "The answer carried no request id." : `Request id ${id}, the same as in the server's log.`;
  } catch {
    write("refusal", "no answer", "bad");
  }
}

/** What each file weighs, by HEAD: an exact Content-Length and no body. */
async function weighCargo() {
  for (const cell of document.querySelectorAll("[data-weigh]")) {
    try {
      const { fields } = await exchange({ method: "HEAD", target: cell.dataset.weigh });
      const length = fields.get("content-length");
      cell.textContent = length === null ? "not told" : size(Number(length));
    } catch {
      return; // the gauge already says that nobody answers
    }
  }
}

function write(id, text, tone) {
  const place = at(id);
  place.textContent = text;
  place.classList.remove("ok", "bad");
  if (tone !== undefined) place.classList.add(tone);
}
