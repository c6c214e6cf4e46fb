// One exchange with the server that sent this page, measured; and how to write one down.
//
// Everything the site claims about the running server comes through `exchange`: no number is
// written into a page. Only same-origin targets exist here (`connect-src 'self'` holds us to it).

/** Longest wait for an answer in milliseconds: above the server's own 10 s deadline for a head. */
const DEADLINE_MS = 15_000;

/** Bytes of a body that are put on the page; the rest is counted, not shown. */
const SHOWN_BYTES = 4096;

/**
 * Sends one request past the browser's cache and reads the whole answer.
 * Rejects with a `TypeError` when the connection fails, a `TimeoutError` past the deadline.
 */
export async function exchange({ method = "GET", target, fields = {}, body }) {
  const begun = performance.now();
  const response = await fetch(target, {
    method,
    headers: fields,
    body,
    cache: "no-store", // a cached answer would prove nothing
    credentials: "omit",
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  return {
    status: response.status,
    reason: response.statusText,
    fields: response.headers,
    bytes,
    millis: performance.now() - begun,
  };
}

/** The version this page arrived by, as the browser saw it: `HTTP/1.1`. */
export function protocol() {
  const [page] = performance.getEntriesByType("navigation");
  const name = page?.nextHopProtocol ?? "";
  return name === "" ? "not told" : name.replace(/^h(\d)$/, "HTTP/$1").toUpperCase();
}

/** `0.8 ms`, `12 ms`, `1.2 s`: as many digits as the browser's clock deserves. */
export function duration(millis) {
  if (millis >= 1000) return `${(millis / 1000).toFixed(1)} s`;
  return millis >= 10 ? `${Math.round(millis)} ms` : `${millis.toFixed(1)} ms`;
}

/** `532 B`, `12.4 KiB`, `1.2 MiB`. */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, "KiB"] : [bytes / 1024 ** 2, "MiB"];
  return `${value.toFixed(1)} ${unit}`;
}

/** A problem document's members (RFC 9457), or null where the answer is something else. */
export function problem({ fields, bytes }) {
  if (!(fields.get("content-type") ?? "").startsWith("application/problem+json")) return null;
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** A body as text; what is not UTF-8 text is shown as a hex dump of its first bytes. */
export function bodyText(bytes) {
  const head = bytes.subarray(0, SHOWN_BYTES);
  const more = bytes.length > head.length ? `\n… ${size(bytes.length - head.length)} more` : "";
  try {
    // `stream` lets a character be cut at the end of what is shown without an error.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: more !== "" });
    if (!/[\u0000-\u0008\u000e-\u001f]/.test(text)) return text + more;
  } catch {
    // Not UTF-8: fall through to the dump.
  }
  return `${hexDump(bytes.subarray(0, 96))}\n${size(bytes.length)} in all`;
}

function hexDump(bytes) {
  const rows = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return rows.join("\n");
}

// Command lines on the pages name the address at which the reader really reached the server.
for (const place of document.querySelectorAll("[data-origin]")) place.textContent = location.origin;
