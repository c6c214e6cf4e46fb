// The security dashboard over TLS and HTTP/2, as a browser speaks them with a server that has a certificate of its own.
// Run by `cargo xtask browser`, which sets TIDEGATE_PROGRAM (the server), CHROMIUM and NODE_PATH (to playwright-core).

import assert from "node:assert/strict";
import { test } from "node:test";
import { start } from "./support/serve.mjs";
import { SIZES, visitor } from "./support/visit.mjs";

/** Opens the dashboard of a server with `options`; the certificate is one that no browser trusts. */
async function open(options, check) {
  const base = (await start("0", options, [])).url;
  await visitor(base)({ viewport: SIZES.desktop, ignoreHTTPSErrors: true }, async (page, faults) => {
    const answer = await page.goto(`${base}security-dashboard`);
    await page.locator("#level", { hasText: "Well" }).waitFor();
    await check(page, faults, answer, base);
  });
}

test("tls_1 obs_3 over TLS the page is live, by HTTP/2, and tells of its certificate", async () => {
  await open(["--tls-self-signed", "--hsts", "1h"], async (page, faults, answer, base) => {
    assert.ok(base.startsWith("https://"), base);
    assert.equal(answer.headers()["strict-transport-security"], "max-age=3600");
    const protocols = () => performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol);
    assert.deepEqual([...new Set(await page.evaluate(protocols))], ["h2"]);
    const text = (id) => page.locator(id).textContent();
    const then = await text("#clock");
    await page.waitForFunction((old) => document.querySelector("#clock").textContent !== old, then);
    assert.ok(await page.locator("#tls").isVisible());
    assert.match(await text("#tls-rows th"), /^localhost.*self-signed, for development/);
    assert.match(await text("#tls-rows td"), /^\d+ d \d+ h$/);
    assert.match(await text("#tls-http2"), /^[1-9]\d* of [1-9]\d*$/);
    assert.notEqual(await text("#tls-ok"), "0");
    assert.deepEqual(faults, []);
  });
});

test("tls_1 obs_3 a ban is lifted over TLS by the page's own origin", async () => {
  await open(["--tls-self-signed"], async (page) => {
    const lift = (init) =>
      fetch("/security-dashboard/bans/lift", { method: "POST", body: '{"client":"192.0.2.1"}', ...init })
        .then((answer) => answer.json()).then((problem) => problem.code);
    // Nobody is banned; but who may not ask is told so first.
    assert.equal(await page.evaluate(lift, { headers: { "Content-Type": "application/json" } }), "not_found");
  });
});

test("obs_3 in the clear there is no card of TLS", async () => {
  await open([], async (page, faults, answer, base) => {
    assert.ok(base.startsWith("http://"), base);
    assert.equal(answer.headers()["strict-transport-security"], undefined);
    assert.ok(await page.locator("#tls").isHidden());
    assert.deepEqual(faults, []);
  });
});
