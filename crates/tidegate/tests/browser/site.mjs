// The bundled site in a real browser, at two sizes and in two colour schemes. Run by `cargo xtask browser`, which
// sets TIDEGATE_URL (the server, with its closing slash), CHROMIUM (the program) and NODE_PATH (to playwright-core).

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

// `import` does not look at NODE_PATH; `require` does.
const { chromium } = createRequire(import.meta.url)("playwright-core");

const BASE = process.env.TIDEGATE_URL;
const PAGES = ["index.html", "about.html", "contact.html"];
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };
const SCHEMES = ["light", "dark"];

/** Milliseconds for one thing to happen on a page; a loaded machine gets many times what a quiet one needs. */
const PATIENCE = 15_000;

let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    // Chromium's own sandbox cannot start as root, which is what a CI container is.
    args: ["--no-sandbox", "--disable-background-networking"],
  });
});
after(() => browser?.close());

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

test("file_1 the front page is served for the bare address", async () => {
  await onPage({ viewport: SIZES.desktop }, async (page) => {
    const answer = await page.goto(BASE);
    assert.ok((await answer.text()).includes("<h1>Multi-threaded HTTP Server Running</h1>"));
  });
});

/** Runs `check` on a fresh page; `faults` gathers what a visitor should never cause. */
async function onPage(options, check) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
  page.on("request", (request) => isOutside(request.url()) && faults.push(`outside request: ${request.url()}`));
  page.on("requestfailed", (request) => faults.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
  try {
    await check(page, faults);
  } finally {
    await context.close();
  }
}

/** A `data:` or `blob:` URL leaves no machine. */
function isOutside(url) {
  return !url.startsWith(BASE) && !/^(data|blob):/.test(url);
}

/** Images that should have been fetched by now and are not there; a lazy one below the fold has not begun. */
function brokenImages(page) {
  return page.evaluate(() => [...document.images].filter((image) => image.complete && image.naturalWidth === 0).length);
}

function overhang(page) {
  return page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - window.innerWidth));
}

/** Whether the page's ground is nearer to white or to black. */
function background(page) {
  return page.evaluate(() => {
    const opaque = (colour) => colour !== "rgba(0, 0, 0, 0)";
    const grounds = [document.body, document.documentElement].map((e) => getComputedStyle(e).backgroundColor);
    const paint = document.createElement("canvas").getContext("2d");
    paint.fillStyle = grounds.find(opaque) ?? "white";
    paint.fillRect(0, 0, 1, 1);
    const [red, green, blue] = paint.getImageData(0, 0, 1, 1).data;
    return red + green + blue > (3 * 255) / 2 ? "light" : "dark";
  });
}
