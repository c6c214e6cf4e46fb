// The security dashboard on a server that is attacked: what an attacker does is seen, and nothing of it runs. Run by
// `cargo xtask browser`, which sets TIDEGATE_PROGRAM (the server), CHROMIUM and NODE_PATH (to playwright-core).

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ATTACKER, get, raw } from "./support/raw.mjs";
import { play } from "./support/scene.mjs";
import { serve, start } from "./support/serve.mjs";
import { SIZES, visitor } from "./support/visit.mjs";

/** An attack shows within this many milliseconds (SPEC OBS-3). */
const SHOWN_WITHIN = 2000;

/** The screen of the pictures. */
const WALL = { width: 1920, height: 1080 };

/** Markup that a client may send in a target or a field, where it is not refused for its bytes. */
const MARKUP = [
  "<img/src=x/onerror=globalThis.run=1>",
  "<script>globalThis.run=1</script>",
  "\"><svg/onload=globalThis.run=1>",
  "'onfocus='globalThis.run=1'autofocus='",
  "</title><script>globalThis.run=1</script>",
];

/** An attack of each kind that takes no time, by the kind of its event. */
const ATTACKS = {
  traversal: (base) => get(base, "/%2e%2e/%2e%2e/etc/passwd"),
  host: (base) => get(base, "/", { Host: "rebound.example" }),
  malformed: (base) => get(base, "/", { "Content-Length": "1", "Transfer-Encoding": "chunked" }),
  admin: (base) => get(base, "/security-dashboard", { "X-Forwarded-For": "203.0.113.7" }),
};

const folder = mkdtempSync(join(tmpdir(), "tidegate-dashboard-"));
after(() => rmSync(folder, { recursive: true, force: true }));
for (const name of MARKUP) writeFileSync(join(folder, name.replaceAll("/", "\u2215")), name);

/** A server of its own for each test: what one attacks another need not see. */
async function attacked(options, check) {
  const base = await serve(["--root", folder, "--listing", "--limit-loopback", ...options]);
  await visitor(base)({ viewport: SIZES.desktop }, async (page, faults) => {
    await page.goto(`${base}security-dashboard`);
    await page.locator("#level", { hasText: "Well" }).waitFor();
    await check(base, page, faults);
  });
}

/** The events of this kind in the table, the newest first. */
function rowsOf(page, kind) {
  return page.locator("#events-rows tr").filter({ has: page.locator(`.chip:text-is("${kind}")`) });
}

test("obs_3 an attack of each kind shows within two seconds, with who and why", async () => {
  await attacked([], async (base, page, faults) => {
    for (const [kind, bytes] of Object.entries(ATTACKS)) {
      const answer = await raw(base, bytes(base));
      const begun = Date.now();
      const row = rowsOf(page, kind).first();
      await row.waitFor();
      assert.ok(Date.now() - begun <= SHOWN_WITHIN, `${kind} took ${Date.now() - begun} ms`);
      assert.equal(await row.locator("th").textContent(), ATTACKER);
      const id = answer.match(/^X-Request-Id: ([0-9a-f]{16})\r$/im)[1];
      assert.equal(await row.locator("a").getAttribute("href"), `/status/refusals/${id}`);
    }
    const total = page.locator("#kinds-rows tr", { hasText: "traversal" }).locator(".number").last();
    assert.equal(await total.textContent(), "1");
    assert.match(await page.locator("#offenders-rows").textContent(), /^127\.0\.0\.2.*traversal 1/);
    assert.deepEqual(faults, []);
  });
});

test("obs_3 the verdict says that an attack is on, in the page, its title and its icon", async () => {
  await attacked(["--bans", "off"], async (base, page) => {
    for (let count = 0; count < 20; count++) await raw(base, ATTACKS.traversal(base));
    await page.locator("#level", { hasText: "Under attack" }).waitFor();
    assert.match(await page.title(), /Under attack/);
    assert.match(await page.locator("#icon").getAttribute("href"), /state-attack\.svg$/);
    assert.match(await page.locator("#line").textContent(), /\d/);
  });
});

test("obs_3 no text of a client becomes an element, on any page of ours", async () => {
  await attacked(["--bans", "off", "--rate-limit", "off"], async (base, page, faults) => {
    const own = await elements(page);
    for (const text of MARKUP) {
      await raw(base, get(base, `/%2e%2e/${text}`, { "User-Agent": text, Referer: text }));
      await raw(base, get(base, "/", { Host: text, "User-Agent": text }));
      await raw(base, get(base, `/${text}`, { "Content-Length": "1", "Transfer-Encoding": text }));
    }
    for (const kind of ["traversal", "host", "malformed"]) await rowsOf(page, kind).nth(MARKUP.length - 1).waitFor();
    assert.equal(await rowsOf(page, "traversal").filter({ hasText: "globalThis.run" }).count(), MARKUP.length);
    assert.deepEqual(await elements(page), own);
    await rowsOf(page, "traversal").first().getByRole("link").click();
    await page.getByText("globalThis.run").first().waitFor();
    assert.deepEqual(await elements(page), {});
    for (const path of ["", ...MARKUP.map((text) => `missing/${encodeURIComponent(text)}`)]) {
      await page.goto(base + path);
      assert.deepEqual(await elements(page), {}, path);
    }
    assert.equal(await page.evaluate(() => globalThis.run), undefined);
    // Chromium says of every navigation that is refused that it was, and that leaving the page ended its stream.
    const expected = ["status of 40", "/security-dashboard/events net::ERR_ABORTED"];
    assert.deepEqual(faults.filter((fault) => !expected.some((part) => fault.includes(part))), []);
  });
});

test("obs_3 a ban is lifted by the keyboard, after a question", async () => {
  await attacked(["--bans", "on"], async (base, page, faults) => {
    const refused = async () => (await raw(base, get(base, "/"))).startsWith("HTTP/1.1 403 ");
    for (let count = 0; count < 200 && !(await refused()); count++) await raw(base, ATTACKS.traversal(base));
    assert.ok(await refused(), "banned");
    const lift = page.getByRole("button", { name: `Lift the ban of ${ATTACKER}` });
    await lift.focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Escape");
    assert.ok(await refused(), "the question was answered with no");
    assert.ok(await lift.evaluate((button) => button === document.activeElement), "the focus comes back");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.locator("#bans-said", { hasText: `The ban of ${ATTACKER} is lifted.` }).waitFor();
    await page.locator("#bans-none", { hasText: "Nobody is banned." }).waitFor();
    assert.ok(await page.evaluate(() => document.activeElement !== document.body), "the focus is not lost");
    assert.ok(!(await refused()), "admitted again");
    assert.deepEqual(faults, []);
  });
});

test("obs_3 a server that goes away is said, and followed again when it is back", async () => {
  const args = ["--root", folder];
  const { url, child } = await start("0", args);
  await visitor(url)({ viewport: SIZES.desktop }, async (page) => {
    const level = (word) => page.locator("#level", { hasText: word }).waitFor();
    await page.goto(`${url}security-dashboard`);
    await level("Well");
    child.kill("SIGKILL");
    await level("Connection lost");
    await start(new URL(url).port, args);
    await level("Well");
    assert.equal(await page.locator("#live").textContent(), "Live");
  });
});

// Not a test of anything: takes five minutes, and pictures for the documentation.
if (process.env.SCREENSHOTS) test("obs_3 pictures of real traffic, calm and under attack", takePictures);

async function takePictures() {
  const root = fileURLToPath(new URL("../../../../resources", import.meta.url));
  const base = await serve([
    "--root", root, "--uploads", join(folder, "uploads"), "--limit-loopback", "--bans", "shadow", "--access-log", "off",
  ]);
  const scene = play(base);
  const seconds = (count) => new Promise((resolve) => setTimeout(resolve, count * 1000));
  await seconds(70);
  scene.attack(true);
  await seconds(40);
  scene.attack(false);
  await seconds(120);
  await picture(base, "dashboard-calm", { viewport: WALL, colorScheme: "light" });
  scene.attack(true);
  await seconds(45);
  await picture(base, "dashboard-attack", { viewport: WALL, colorScheme: "dark" });
  await picture(base, "dashboard-phone", { viewport: SIZES.phone, colorScheme: "dark", deviceScaleFactor: 2 });
  scene.stop();
}

async function picture(base, name, options) {
  await visitor(base)(options, async (page) => {
    await page.goto(`${base}security-dashboard`);
    await page.locator("#live", { hasText: /^Live$/ }).waitFor();
    // The second snapshot: now there is a difference of processor time to be shown.
    await page.locator("[data-value=memory_more]", { hasText: /\d/ }).waitFor();
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) });
  });
}

/** How many there are of the elements that can run something. */
function elements(page) {
  return page.evaluate(() => {
    const counts = {};
    for (const { localName } of document.querySelectorAll("script, img, svg, iframe, object, embed, base, form")) {
      counts[localName] = (counts[localName] ?? 0) + 1;
    }
    return counts;
  });
}
