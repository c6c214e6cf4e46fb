// Each thread as a tile: whether it works, at what, and for how long.

import { byId, keep, make, say, visible } from "./dom.js";
import { count, span } from "./format.js";

export function showThreads({ workers, pool }) {
  keep(byId("workers"), workers.map(worker), (item) => item.name, tile);
  keep(byId("pool"), pool.threads.map(thread), (item) => item.name, tile);
  const range = pool.least === pool.most ? "" : ` of ${pool.least} to ${pool.most}`;
  say(byId("threads-note"), `${workers.length} workers · ${pool.busy} of ${pool.size} pool threads busy${range}`);
}

function worker({ id, state, connections, served, doing }) {
  return { name: `worker ${id}`, state, doing: doing || state, more: `${count(connections)} open`, served };
}

function thread({ id, state, doing, since, served }) {
  return { name: `pool ${id}`, state, doing: doing ?? state, more: span(since), served };
}

function tile() {
  const [name, doing, more] = ["b", "span", "small"].map((tag) => make(tag));
  const element = make("li", {}, name, more, doing);
  const update = (item) => {
    element.dataset.state = item.state;
    say(name, item.name);
    say(doing, visible(item.doing));
    say(more, item.more);
    element.title = `${item.name}: ${visible(item.doing)}, ${item.more}, ${count(item.served)} served`;
  };
  return [element, update];
}
