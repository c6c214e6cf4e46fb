// Listings in a real browser: a folder of names that nobody wishes for, at two sizes and in two colour schemes. Run
// by `cargo xtask browser`, which sets TIDEGATE_PROGRAM (the server), CHROMIUM and NODE_PATH (to playwright-core).

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { faintTexts } from "./support/access.mjs";
import { serve } from "./support/serve.mjs";
import { SCHEMES, SIZES, background, overhang, visitor } from "./support/visit.mjs";

/** File names, each with what is shown of it where that is not the name itself. */
const HOSTILE = new Map([
  ["<img src=x onerror=alert(1)>"],
  ["<script>alert(2)<\u2215script>"],
  ['" onmouseover="alert(3)'],
  ["'single'"],
  ["javascript:alert(4)"],
  ["a:b"],
  ["?query#fragment"],
  ["%2e%2e"],
  ["&amp;"],
  [" spaces  within "],
  ["two\nlines", "two[U+000A]lines"],
  ["photo\u202egpj.exe", "photo[U+202E]gpj.exe"],
  ["\u05e9\u05dc\u05d5\u05dd.txt"],
  ["\u{1f980}.txt"],
  ["l".repeat(255)],
]);
const HIDDEN = [".hidden", "back\\slash", "uploads", "metrics"];
const FOLDERS = ["<b>folder", "a b"];

/** Sizes and ages that sort unlike the names do. */
const SIZED = { "1.bin": 3_000_000, "2.bin": 1, "10.bin": 2000 };

const folder = mkdtempSync(join(tmpdir(), "tidegate-listing-"));
const root = join(folder, "root");
fill();
after(() => rmSync(folder, { recursive: true, force: true }));
const BASE = await serve(["--listing", "--inline", "--root", root, "--uploads", join(folder, "uploads")]);
const onPage = visitor(BASE);

for (const [name, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of SCHEMES) {
    test(`file_8 a listing opens clean on a ${name}, ${colorScheme}`, async () => {
      await onPage({ viewport, colorScheme }, async (page, faults) => {
        const answer = await page.goto(BASE, { waitUntil: "networkidle" });
        assert.equal(answer.status(), 200);
        const policy = answer.headers()["content-security-policy"];
        assert.match(policy, /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; /);
        // The style is in force, and so its hash is right.
        assert.equal(await page.locator("table").evaluate((t) => getComputedStyle(t).borderCollapse), "collapse");
        assert.equal(await page.locator("h1").count(), 1, "one main heading");
        assert.equal(await overhang(page), 0, "pixels that stick out to the right");
        assert.equal(await background(page), colorScheme, "colour scheme");
        assert.deepEqual(await faintTexts(page), []);
        assert.deepEqual(faults, []);
      });
    });
  }
}

test("file_8 every name is shown as text and hidden ones are not", async () => {
  await onPage({ viewport: SIZES.desktop }, async (page, faults) => {
    await page.goto(BASE, { waitUntil: "networkidle" });
    const shown = (await names(page)).sort();
    const files = [...HOSTILE].map(([name, text]) => text ?? name);
    assert.deepEqual(shown, [...files, ...Object.keys(SIZED), "inside", ...FOLDERS].sort());
    assert.equal(await page.locator("img, script, form, iframe, b").count(), 0, "elements made of names");
    await page.getByRole("link", { name: "onmouseover" }).hover();
    assert.deepEqual(faults, []);
  });
});

test("file_8 each link leads to its file", async () => {
  await onPage({ viewport: SIZES.desktop }, async (page) => {
    await page.goto(BASE);
    const links = await page
      .locator("tbody a")
      .evaluateAll((all) => all.map((link) => [link.querySelector("bdi").textContent, link.href]));
    for (const [name, text] of HOSTILE) {
      const [, href] = links.find(([shown]) => shown === (text ?? name));
      assert.ok(href.startsWith(BASE), href);
      assert.equal(await (await page.request.get(href)).text(), name, "a file holds its own name");
    }
  });
});

test("file_8 the heads sort the table without script", async () => {
  await onPage({ viewport: SIZES.desktop, javaScriptEnabled: false }, async (page, faults) => {
    await page.goto(BASE);
    for (const [head, sort, expected] of [
      ["Size", "ascending", ["2.bin", "10.bin", "1.bin"]],
      ["Size", "descending", ["1.bin", "10.bin", "2.bin"]],
      ["Modified", "ascending", ["10.bin", "1.bin", "2.bin"]],
      ["Name", "ascending", ["1.bin", "2.bin", "10.bin"]],
      ["Name", "descending", ["10.bin", "2.bin", "1.bin"]],
    ]) {
      const column = page.getByRole("columnheader", { name: head });
      await column.getByRole("link").click();
      assert.equal(await column.getAttribute("aria-sort"), sort, head);
      assert.equal(await page.locator("[aria-sort]").count(), 1);
      const shown = await names(page);
      assert.deepEqual(shown.slice(0, FOLDERS.length).sort(), [...FOLDERS].sort(), "folders first");
      assert.deepEqual(shown.filter((name) => name.endsWith(".bin")), expected, `${head} ${sort}`);
    }
    assert.deepEqual(faults, []);
  });
});

test("file_8 one can walk down and up again and keeps the order", async () => {
  await onPage({ viewport: SIZES.phone }, async (page, faults) => {
    await page.goto(`${BASE}?sort=size&order=desc`);
    await page.getByRole("link", { name: "<b>folder" }).click();
    await page.getByRole("link", { name: "deep & down" }).click();
    assert.equal(await page.title(), "Index of /<b>folder/deep & down/");
    assert.equal(await page.locator("[aria-sort=descending]").textContent(), "Size");
    await page.getByRole("link", { name: "Parent folder" }).click();
    assert.deepEqual(await names(page), ["deep & down"]);
    await page.getByRole("navigation").getByRole("link", { name: "Top" }).click();
    assert.equal(page.url(), `${BASE}?sort=size&order=desc`);
    assert.deepEqual(faults, []);
  });
});

test("file_8 the keyboard reaches every link and shows where it is", async () => {
  await onPage({ viewport: SIZES.desktop }, async (page) => {
    await page.goto(BASE);
    const links = await page.locator("a").count();
    for (let index = 0; index < links; index++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(() => {
        const all = [...document.querySelectorAll("a")];
        return [all.indexOf(document.activeElement), getComputedStyle(document.activeElement).outlineStyle];
      });
      assert.deepEqual(focused, [index, "solid"]);
    }
  });
});

test("file_8 programs get JSON", async () => {
  await onPage({}, async (page) => {
    const answer = await page.request.get(`${BASE}?sort=size`, { headers: { Accept: "application/json" } });
    assert.equal(answer.headers()["content-type"], "application/json");
    const { path, truncated, entries } = await answer.json();
    assert.deepEqual([path, truncated], ["/", false]);
    const expected = [...HOSTILE.keys(), ...Object.keys(SIZED), "inside", ...FOLDERS];
    assert.deepEqual(entries.map((entry) => entry.name).sort(), expected.sort());
    const biggest = { name: "1.bin", type: "file", size: 3_000_000, modified: "2001-09-09T01:46:42Z" };
    assert.deepEqual(entries.at(-1), biggest);
  });
});

/** Makes the folder that is listed. */
function fill() {
  mkdirSync(join(root, FOLDERS[0], "deep & down"), { recursive: true });
  mkdirSync(join(root, FOLDERS[1]));
  for (const name of [...HOSTILE.keys(), ...HIDDEN]) {
    writeFileSync(join(root, name), name);
  }
  Object.entries(SIZED).forEach(([name, size], index) => {
    writeFileSync(join(root, name), Buffer.alloc(size));
    utimesSync(join(root, name), 0, 1_000_000_000 + [2, 3, 1][index]);
  });
  writeFileSync(join(folder, "outside"), "secret");
  symlinkSync("2.bin", join(root, "inside"));
  symlinkSync("../outside", join(root, "outside"));
  symlinkSync("missing", join(root, "dangling"));
}

/** The names in the table, from the top. */
function names(page) {
  return page.locator("tbody th bdi").evaluateAll((all) => all.map((name) => name.textContent));
}
