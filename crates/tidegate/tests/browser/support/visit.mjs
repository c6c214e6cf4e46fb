// What the browser tests share: one Chromium for a file of tests, a fresh page for each, and what is looked at
// on every page. CHROMIUM names the program, NODE_PATH the folder of playwright-core.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before } from "node:test";

// `import` does not look at NODE_PATH; `require` does.
const { chromium } = createRequire(import.meta.url)("playwright-core");

export const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };
export const SCHEMES = ["light", "dark"];

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

/** Gives `onPage(options, check)`: runs `check` on a fresh page of a visitor of the server at `base`, which ends
 *  with a slash; `faults` gathers what a visitor should never cause. Over TLS everything comes by HTTP/2 (SPEC H2-1):
 *  pages, uploads, the stream of the dashboard. */
export function visitor(base) {
  const secure = base.startsWith("https:");
  return async (options, check) => {
    // The server's certificate is signed by itself.
    const context = await browser.newContext({ ignoreHTTPSErrors: secure, ...options });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    const protocols = await protocolsOf(page, base);
    const faults = [];
    // A `data:` or `blob:` URL leaves no machine.
    const isOutside = (url) => !url.startsWith(base) && !/^(data|blob):/.test(url);
    page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
    page.on("dialog", (dialog) => faults.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
    page.on("request", (request) => isOutside(request.url()) && faults.push(`outside request: ${request.url()}`));
    page.on("requestfailed", (request) => faults.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
    try {
      await check(page, faults);
      for (const protocol of protocols) assert.equal(protocol, secure ? "h2" : "http/1.1");
    } finally {
      await context.close();
    }
  };
}

/** Gathers the protocols by which answers of the server at `base` come. */
async function protocolsOf(page, base) {
  const protocols = new Set();
  const network = await page.context().newCDPSession(page);
  network.on("Network.responseReceived", ({ response }) => {
    if (response.url.startsWith(base)) protocols.add(response.protocol);
  });
  await network.send("Network.enable");
  return protocols;
}

/** Pixels that stick out to the right. */
export function overhang(page) {
  return page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - window.innerWidth));
}

/** Whether the page's ground is nearer to white or to black. */
export function background(page) {
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
