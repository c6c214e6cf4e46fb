// Bytes to a server as they are, from an address of this machine that is not the browser's.

import { connect } from "node:net";
import { connect as connectByTls } from "node:tls";

/** The attacker; the whole of 127.0.0.0/8 is this machine. */
export const ATTACKER = "127.0.0.2";

/** Milliseconds for an answer; a server that says nothing in this time fails the test. */
const PATIENCE = 15_000;

/** Sends `bytes` to the server at `base` from `localAddress`; gives what it answers until it closes. */
export function raw(base, bytes, localAddress = ATTACKER) {
  const { protocol, hostname: host, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const chunks = [];
    const to = { host, port, localAddress };
    const socket = protocol === "https:" ? connectByTls({ ...to, rejectUnauthorized: false }) : connect(to);
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error("no answer in time")));
    socket.on(protocol === "https:" ? "secureConnect" : "connect", () => socket.write(bytes));
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
  });
}

/** A request that is well-formed as far as the parts given are, and ends its connection. */
export function get(base, target, fields = {}) {
  const all = { Host: new URL(base).host, Connection: "close", ...fields };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${target} HTTP/1.1\r\n${lines.join("")}\r\n`;
}
