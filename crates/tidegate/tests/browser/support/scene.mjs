// Life for a picture: visitors that come and go, uploads, and an attack that is turned on and off. All of it is real;
// each is a client of its own by its address in 127.0.0.0/8.

import { Agent, request } from "node:http";
import { get, raw } from "./raw.mjs";

const VISITORS = Array.from({ length: 12 }, (_, index) => `127.0.1.${index + 1}`);
/** Pages that each visitor asks for in a second, in the middle; it rises and falls by half. */
const PACE = 14;
/** Milliseconds between two steps of the scene. */
const STEP = 250;

/** What each attacker does in a step. */
const ATTACKERS = {
  "127.0.0.7": (base) => get(base, "/%2e%2e/%2e%2e/etc/passwd"),
  "127.0.0.23": (base) => get(base, "/static/..%5c..%5cwindows/win.ini"),
  "127.0.0.42": (base) => get(base, "/", { Host: "169.254.169.254" }),
  "127.0.0.66": (base) => get(base, "/upload", { "Content-Length": "4", "Transfer-Encoding": "chunked" }),
  "127.0.0.90": (base) => get(base, `/${["wp-login.php", ".env", "admin.php"][Math.floor(Math.random() * 3)]}`),
};
/** One more asks for pages only, far too many. */
const FLOODER = "127.0.0.180";
const FLOOD = 60;

/** Plays until `stop()`; `attack(true)` lets the attackers in. */
export function play(base) {
  const agent = (localAddress) => [localAddress, new Agent({ keepAlive: true, localAddress })];
  const agents = new Map([...VISITORS, FLOODER].map(agent));
  let attacked = false;
  let steps = 0;
  const timer = setInterval(() => {
    steps += 1;
    const tide = 1 + 0.35 * Math.sin(steps / 90) + 0.15 * Math.sin(steps / 13);
    for (const visitor of VISITORS) {
      const pages = Math.round((PACE * tide * STEP) / 1000 + Math.random() - 0.5);
      for (let page = 0; page < pages; page++) ask(base, agents.get(visitor), page % 4 === 0 ? "/gallery.jpg" : "/");
    }
    if (steps % 2 === 0) upload(base, agents.get(VISITORS[steps % VISITORS.length]));
    if (attacked) strike(base, agents.get(FLOODER));
  }, STEP);
  return {
    attack: (on) => (attacked = on),
    stop: () => {
      clearInterval(timer);
      for (const agent of agents.values()) agent.destroy();
    },
  };
}

function strike(base, flooder) {
  for (const [attacker, bytes] of Object.entries(ATTACKERS)) {
    const often = 1 + Math.floor(Math.random() * 4);
    for (let count = 0; count < often; count++) raw(base, bytes(base), attacker).catch(ignore);
  }
  for (let count = 0; count < FLOOD; count++) ask(base, flooder, "/");
}

function ask(base, agent, path) {
  const asked = request(new URL(path, base), { agent }, (answer) => answer.resume());
  asked.on("error", ignore);
  asked.end();
}

function upload(base, agent) {
  const headers = { "Content-Type": "application/json" };
  const sent = request(new URL("/upload", base), { agent, method: "POST", headers }, (answer) => answer.resume());
  sent.on("error", ignore);
  sent.end(JSON.stringify({ reading: Math.random() }));
}

/** The picture may end while somebody still asks; what came of it no longer matters. */
function ignore() {}
