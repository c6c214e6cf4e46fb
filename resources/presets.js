// The requests the talk page offers: what to send, and what the answer teaches.
//
// A preset's `make` returns { method, target, fields, body }; it may ask the server first, for
// example for a validator. `why` says what a sound server does and why; the answer itself always
// comes from the wire and is never assumed.

import { exchange } from "./probe.js";

const JSON_TYPE = "application/json";

/** One byte over the default `--max-body` of 1 MiB. */
const TOO_LARGE_BYTES = 1024 ** 2 + 1;

/** One level over what the server reads: 128. */
const TOO_DEEP = 129;

const upload = (body, type = JSON_TYPE) => ({
  method: "POST",
  target: "/upload",
  fields: { "Content-Type": type },
  body,
});

const get = (target, fields = {}) => ({ method: "GET", target, fields });

const textOf = async (target) => new TextDecoder().decode((await exchange({ target })).bytes);

export const GREETING = `{
  "boat": "Pâquerette",
  "message": "Requesting passage at high water.",
  "crew": 2
}`;

/** Requests a sound server answers with 2xx or 304. `stored` is the newest upload's path. */
export const PASS = [
  {
    name: "Store JSON",
    make: () => upload(GREETING),
    why: "201 is sent once the data and its folder entry are synced to disk. Location names the new file.",
  },
  {
    name: "Read it back",
    needsUpload: true,
    make: (stored) => get(stored),
    why: "The bytes come back exactly as they were sent, and are never cached.",
  },
  {
    name: "Store sample.json",
    make: async () => upload(await textOf("/sample.json")),
    why: "A bundled file, fetched and posted. Its long number is kept digit by digit.",
  },
  {
    name: "Are you alive?",
    make: () => get("/healthz"),
    why: "200 while the process lives. /readyz also turns 503 while it drains.",
  },
  {
    name: "Only the head",
    make: () => ({ method: "HEAD", target: "/banner.png", fields: {} }),
    why: "HEAD is GET without the body: the length is there, the megabyte is not.",
  },
  {
    name: "What is allowed?",
    make: () => ({ method: "OPTIONS", target: "/upload", fields: {} }),
    why: "204, and Allow lists the methods that mean something here.",
  },
  {
    name: "First ten bytes",
    make: () => get("/sample.txt", { Range: "bytes=0-9" }),
    why: "206 with Content-Range: a part, and what it is a part of.",
  },
  {
    name: "Two ranges",
    make: () => get("/sample.txt", { Range: "bytes=0-9, -24" }),
    why: "206 in two parts, each with its own Content-Range. Parts that overlap become one: no byte is sent twice.",
  },
  {
    name: "Compressed",
    make: () => get("/about.html"),
    why: "The browser names the codings it reads by itself. Content-Encoding is the one that came; the first answer may lack it.",
  },
  {
    name: "Only if changed",
    make: async () => {
      const { fields } = await exchange({ method: "HEAD", target: "/sample.txt" });
      return get("/sample.txt", { "If-None-Match": fields.get("etag") ?? "*" });
    },
    why: "The ETag was asked for just before. Nothing changed, so 304 and no body.",
  },
];

/** Requests a sound server refuses. */
export const HOLD = [
  {
    name: "Broken JSON",
    make: () => upload('{\n  "boat": "Pâquerette",\n  "crew": two\n}'),
    why: "400 invalid_json, with the line and column where it broke. Nothing was stored.",
  },
  {
    name: "Post bad.json",
    make: async () => upload(await textOf("/bad.json")),
    why: "A bundled file with one pair of quotes missing.",
  },
  {
    name: "Not JSON by type",
    make: () => upload(GREETING, "text/plain"),
    why: "415: the type decides before the body is looked at, even if the body would pass.",
  },
  {
    name: "Too deep",
    make: () => upload("[".repeat(TOO_DEEP) + "]".repeat(TOO_DEEP)),
    why: "Valid grammar, 129 levels down. Depth is bounded so that no stack is.",
  },
  {
    name: "Too large",
    make: () => upload(`"${"~".repeat(TOO_LARGE_BYTES - 2)}"`),
    why: "413, decided from Content-Length before the body is read. A browser may see the connection close instead.",
  },
  {
    name: "Fetch /upload",
    make: () => get("/upload"),
    why: "405: this path only takes. Allow says what would work.",
  },
  {
    name: "Delete the page",
    make: () => ({ method: "DELETE", target: "/", fields: {} }),
    why: "405: there is no method here that changes a served file.",
  },
  {
    name: "Climb out",
    make: () => get("/..%2f..%2fetc%2fpasswd"),
    why: "403 traversal, and a warning in the server’s log. Encoding the slashes does not help.",
  },
  {
    name: "A missing file",
    make: () => get("/no-such-boat"),
    why: "404, with an id that finds this very refusal in the log.",
  },
  {
    name: "Past the end",
    make: () => get("/sample.txt", { Range: "bytes=999999-" }),
    why: "416, and Content-Range says how long the file really is.",
  },
];
