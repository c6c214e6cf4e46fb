// TLS: which certificates are served and for how long yet, how handshakes end, and which HTTP is spoken then. The panel
// is there only where the server speaks TLS.

import { byId, keep, make, row, say, visible } from "./dom.js";
import { count, span, sum, utc } from "./format.js";

/** A certificate that ends within so many milliseconds should have been renewed: the server warns of it too. */
const SOON = 14 * 86_400_000;

export function showTls({ at, tls, totals }) {
  byId("tls").hidden = tls === null;
  if (tls === null) return;
  const certificates = tls.certificates.map((certificate, place) => ({ ...certificate, place, at }));
  certificates.sort((one, other) => one.expires - other.expires);
  keep(byId("tls-rows"), certificates, ({ place, names }) => `${place} ${names[0]}`, certificateRow);
  const { ok, failed, late } = tls.handshakes;
  say(byId("tls-ok"), count(ok));
  say(byId("tls-failed"), `${count(failed)} of ${count(sum(tls.handshakes))}`);
  say(byId("tls-late"), count(late));
  say(byId("tls-http2"), `${count(totals.http2_requests)} of ${count(totals.requests)}`);
}

const certificateRow = row([namesCell, endCell]);

/** The first name, and below it what else is to know. */
function namesCell() {
  const first = make("bdi");
  const others = make("span", { class: "under" });
  const update = ({ names, more, self_signed }) => {
    say(first, visible(names[0] ?? "(no name)"));
    const rest = names.slice(1).map(visible).concat(more > 0 ? [`${count(more)} more`] : []);
    const made = self_signed ? ["self-signed, for development"] : [];
    say(others, made.concat(rest.join(", ") || []).join(" · "));
    others.title = others.textContent;
  };
  return [make("th", { role: "rowheader", scope: "row" }, first, others), update];
}

/** How long it is valid yet; where that is not long, on a chip that says what to do. */
function endCell() {
  const left = make("span");
  const update = ({ expires, at }) => {
    const isSoon = expires - at < SOON;
    const text = expires > at ? span((expires - at) / 1000) : "expired";
    say(left, isSoon ? `${text}: renew` : text);
    left.className = isSoon ? "chip ban" : "";
    left.title = utc(expires);
  };
  return [make("td", { role: "cell", class: "number" }, left), update];
}
