// The bundled site in a real browser, at two sizes and in two colour schemes. Run by `cargo xtask browser`, which
// sets TIDEGATE_URL (the server, with its closing slash), CHROMIUM (the program) and NODE_PATH (to playwright-core).

import assert from "node:assert/strict";
import { test } from "node:test";
import { SCHEMES, SIZES, background, overhang, visitor } from "./support/visit.mjs";

const BASE = process.env.TIDEGATE_URL;
const PAGES = ["index.html", "about.html", "contact.html"];

const onPage = visitor(BASE);

for (const [name, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of SCHEMES) {
    for (const path of PAGES) {
      test(`run_1 ${path} opens clean on a ${name}, ${colorScheme}`, async () => {
        await onPage({ viewport, colorScheme }, async (page, faults) => {
          const answer = await page.goto(BASE + path, { waitUntil: "networkidle" });
          assert.equal(answer.status(), 200);
          assert.equal(await page.locator("h1").count(), 1, "one main heading");
          assert.equal(await brokenImages(page), 0, "images that did not load");
          assert.equal(await overhang(page), 0, "pixels that stick out to the right");
          assert.equal(await background(page), colorScheme, "colour scheme");
          assert.deepEqual(faults, []);
        });
      });
    }

    test(`up_4 the contact page stores an upload on a ${name}, ${colorScheme}`, async () => {
      await onPage({ viewport, colorScheme }, async (page, faults) => {
        await page.goto(`${BASE}contact.html`);
        const body = JSON.stringify({ from: name, scheme: colorScheme });
        await page.getByLabel("Body").fill(body);
        await page.getByRole("button", { name: "Send", exact: true }).click();
        await page.locator("#verdict").filter({ hasText: "201" }).waitFor();
        const received = await page.locator("#received").textContent();
        const stored = received.match(/"filepath":\s*"\/(uploads\/upload_\d{8}_\d{6}_[0-9a-z]{6}\.json)"/)?.[1];
        assert.ok(stored, `no file path in:\n${received}`);
        const kept = await page.request.get(BASE + stored);
        assert.equal(await kept.text(), body, "the bytes are kept as sent");
        assert.deepEqual(faults, []);
      });
    });
  }
}

test("up_2 the contact page shows a refusal with its code", async () => {
  await onPage({ viewport: SIZES.desktop }, async (page) => {
    await page.goto(`${BASE}contact.html`);
    await page.getByLabel("Body").fill('{"broken": }');
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await page.locator("#verdict").filter({ hasText: "400" }).filter({ hasText: "invalid_json" }).waitFor();
  });
});

test("sec_0 the contact page leads who sits at this machine to the dashboard", async () => {
  await onPage({ viewport: SIZES.desktop }, async (page) => {
    await page.goto(`${BASE}contact.html`);
    await page.getByRole("link", { name: "dashboard" }).click();
    await page.waitForURL(`${BASE}security-dashboard`);
    assert.match(await page.title(), /tidegate/);
  });
});

test("file_1 the front page is served for the bare address", async () => {
  await onPage({ viewport: SIZES.desktop }, async (page) => {
    const answer = await page.goto(BASE);
    assert.ok((await answer.text()).includes("<h1>Multi-threaded HTTP Server Running</h1>"));
  });
});

test("sec_3 the style of a refusal page is admitted by its policy", async () => {
  await onPage({ viewport: SIZES.phone }, async (page, faults) => {
    const answer = await page.goto(`${BASE}missing`);
    assert.equal(answer.status(), 404);
    assert.ok(!answer.headers()["content-security-policy"].includes("unsafe"));
    assert.equal(await page.locator("body").evaluate((body) => getComputedStyle(body).paddingLeft), "24px");
    // Chromium says of every navigation that is refused that it was.
    assert.deepEqual(faults.filter((fault) => !fault.includes("status of 404")), []);
  });
});

/** Images that should have been fetched by now and are not there; a lazy one below the fold has not begun. */
function brokenImages(page) {
  return page.evaluate(() => [...document.images].filter((image) => image.complete && image.naturalWidth === 0).length);
}
