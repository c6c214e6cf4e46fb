// A stream of the test's own for the dashboard: it takes the place of EventSource in the page, and says what the test
// says, when it says it.

/** The kinds of events, in the server's order. */
export const KINDS = ["traversal", "host", "malformed", "slow", "rate", "connections", "admin", "scan", "ban"];
const FAULTS = ["malformed", "refused", "not_served", "too_slow", "internal"];

/** When the data of `snapshot` is from: the beginning of this second, in milliseconds since 1970. */
export const NOW = Math.floor(Date.now() / 1000) * 1000;

/** In milliseconds. */
export const DAY = 86_400_000;

const zeros = (names) => Object.fromEntries(names.map((name) => [name, 0]));

/** Puts the stream in the place of the real one, before the page's first script, and the clock into the test's hand:
 *  it goes on by itself, and `page.clock.fastForward` lets time pass. */
export async function ownStream(page) {
  await page.clock.install();
  await page.addInitScript(() => {
    globalThis.EventSource = class extends EventTarget {
      constructor(url) {
        super();
        Object.assign(this, { url, closed: false });
        globalThis.streams = [...(globalThis.streams ?? []), this];
      }
      close() {
        this.closed = true;
      }
    };
  });
}

/** Says each `[type, data]` on the newest stream, within one task. */
export function tell(page, ...news) {
  return page.evaluate((all) => {
    for (const [type, data] of all) {
      const event = data === undefined ? new Event(type) : new MessageEvent(type, { data: JSON.stringify(data) });
      globalThis.streams.at(-1).dispatchEvent(event);
    }
  }, news);
}

/** A second at `at` (seconds since 1970) of a server that does well. */
export function second(at, change = {}) {
  const latency_us = { p50: 90, p90: 240, p99: 1300 };
  const level = { connections: 400, active: 7, pool_busy: 2, pool_queue: 0, bytes_sent: 9_000_000 };
  return { at, requests: 800, refusals: zeros(FAULTS), events: zeros(KINDS), latency_us, ...level, ...change };
}

/** Five minutes up to `NOW`. */
export function history() {
  const last = NOW / 1000;
  return { seconds: Array.from({ length: 300 }, (_, index) => second(last - 300 + index)) };
}

/** What is the case at `NOW`, with everything that can be shown: an event of each kind, bans, limits, busy
 *  threads, certificates. */
export function snapshot(change = {}) {
  return {
    version: "0.1.0",
    at: NOW,
    uptime_seconds: 277_204,
    verdict: { level: "well", line: "All is well.", advice: "" },
    second: second(NOW / 1000, { events: { ...zeros(KINDS), traversal: 3 } }),
    totals: {
      requests: 18_400_000,
      http2_requests: 12_300_000,
      refusals: { not_found: 2400, traversal: 120 },
      events: { ...zeros(KINDS), traversal: 120 },
      uploads: { stored: 1200, refused: 14, failed: 1 },
      connections_peak: 2210,
    },
    workers: ["idle", "busy", "draining"].map((state, id) => ({
      id, state, connections: 100 + id, served: 6_000_000, doing: `${id}00 requests/s`,
    })),
    pool: {
      size: 10, least: 10, most: 10, busy: 1, queue_depth: 3, queue_limit: 100, saturations: 2,
      threads: [
        { id: 0, state: "busy", doing: "storing an upload", since: 0.4, served: 40_000 },
        { id: 1, state: "idle", doing: null, since: 312.9, served: 39_000 },
      ],
    },
    offenders: [offender("203.0.113.7", "yes"), offender("2001:db8:1:2::/64", "shadow"), offender("192.0.2.9", "no")],
    events: KINDS.map((kind, index) => event(kind, index)),
    rate_limit: {
      policy: "100/s, burst 200", tracked: 3120, capacity: 1_048_576, table_bytes: 33_554_432,
      limited: [{ client: "203.0.113.180", refused: 812, last_seen: NOW - 2000 }],
    },
    bans: { mode: "on", count: 2, list: [ban("203.0.113.7", false), ban("2001:db8:1:2::/64", true)] },
    tls: {
      certificates: [
        certificate(["files.example", "www.files.example"], 61 * DAY),
        certificate(["*.old.example"], 5 * DAY, { more: 3 }),
        certificate(["localhost"], -DAY, { self_signed: true }),
      ],
      handshakes: { ok: 41_200, failed: 312, late: 4 },
    },
    memory: {
      resident_bytes: 41_000_000, bodies_bytes: 230 << 20, bodies_limit: 256 << 20, open_files: 470,
      open_files_limit: 20_000, cpu_seconds: 1000,
    },
    log_dropped: 0,
    viewers: 1,
    reload: { ok: true, at: null },
    ...change,
  };
}

export function event(kind, index, change = {}) {
  const id = index.toString(16).padStart(16, "0");
  const text = { request: "GET /../etc/passwd", evidence: "a dot segment leaves the root" };
  return { at: NOW - index * 100, id, client: "203.0.113.7", kind, code: kind, ...text, ...change };
}

/** `left` is how long it is valid yet, in milliseconds. */
export function certificate(names, left, change = {}) {
  return { names, more: 0, expires: NOW + left, self_signed: false, ...change };
}

function offender(client, banned) {
  const events = { traversal: 60, host: 4 };
  return { client, refusals: 64, events, last_seen: NOW - 500, banned };
}

function ban(client, shadow) {
  const evidence = [{ at: NOW - 61_000, kind: "traversal", text: "GET /../etc/passwd", id: "00000000000000aa" }];
  return { client, since: NOW - 60_000, until: NOW + 540_000, shadow, times: 2, reason: "traversal", evidence };
}
