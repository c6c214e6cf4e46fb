// CORS as a browser keeps it: a page of one server asks another one. Run by `cargo xtask browser`, which sets
// TIDEGATE_PROGRAM (the server), CHROMIUM and NODE_PATH (to playwright-core).

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { serve } from "./support/serve.mjs";
import { visitor } from "./support/visit.mjs";

const folder = mkdtempSync(join(tmpdir(), "tidegate-cors-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = join(folder, "root");
mkdirSync(root);
writeFileSync(join(root, "index.html"), "<!doctype html><title>A page</title>");
writeFileSync(join(root, "data.json"), '{"answer":42}');

/** What `ask` comes to where the browser keeps the answer from the script. */
const BLOCKED = "blocked";
const JSON_POST = { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"from":"elsewhere"}' };

/** Starts a server of `root` whose uploads go to a folder of their own. */
const start = (uploads, ...args) => serve(["--root", root, "--uploads", join(folder, uploads), ...args]);
const PAGE = await start("page");
const origin = new URL(PAGE).origin;
const ALLOWING = await start("allowing", "--cors-origin", origin);
const OPEN = await start("open", "--cors-origin", "*");
const OTHER = await start("other", "--cors-origin", "https://other.example");
const SILENT = await start("silent");
const onPage = visitor(PAGE);

for (const [name, base, uploads] of [["its own origin", ALLOWING, "allowing"], ["any origin", OPEN, "open"]]) {
  test(`sec_2 a page reads, uploads and sees refusals where ${name} is allowed`, async () => {
    await onPage({}, async (page) => {
      await page.goto(PAGE);
      const read = await ask(page, `${base}data.json`);
      assert.deepEqual([read.status, read.body], [200, '{"answer":42}']);
      assert.match(read.fields.etag, /^"/, "the field is exposed");
      const stored = await ask(page, `${base}upload`, JSON_POST);
      assert.equal(stored.status, 201);
      assert.equal(stored.fields.location, JSON.parse(stored.body).filepath);
      assert.equal(readdirSync(join(folder, uploads)).length, 1);
      const missing = await ask(page, `${base}missing`);
      assert.deepEqual([missing.status, JSON.parse(missing.body).code], [404, "not_found"]);
      assert.match(missing.fields["x-request-id"], /^[0-9a-f]{16}$/);
      const withCookies = await ask(page, `${base}data.json`, { credentials: "include" });
      assert.equal(outcome(withCookies), BLOCKED, "credentials are never admitted");
      assert.equal(outcome(await ask(page, `${base}metrics`)), BLOCKED, "the pages of operators are for no script");
    });
  });
}

for (const [name, base, uploads] of [["another origin", OTHER, "other"], ["no origin", SILENT, "silent"]]) {
  test(`sec_2 a page neither reads nor uploads where ${name} is allowed`, async () => {
    await onPage({}, async (page) => {
      await page.goto(PAGE);
      for (const [path, options] of [["data.json", {}], ["missing", {}], ["upload", JSON_POST]]) {
        assert.equal(outcome(await ask(page, base + path, options)), BLOCKED, path);
      }
      assert.deepEqual(readdirSync(join(folder, uploads)), [], "the preflight kept the upload back");
    });
  });
}

test("sec_2 a sandboxed page has no origin, and is not taken for an allowed one", async () => {
  await onPage({}, async (page) => {
    await page.goto(PAGE);
    const said = await page.evaluate(
      (url) =>
        new Promise((resolve) => {
          addEventListener("message", (event) => resolve([event.origin, event.data]), { once: true });
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts";
          const script = `fetch("${url}").then(() => "read", () => "blocked").then((said) => parent.postMessage(said, "*"))`;
          frame.srcdoc = `<script>${script}<\/script>`;
          document.body.append(frame);
        }),
      `${ALLOWING}data.json`,
    );
    assert.deepEqual(said, ["null", BLOCKED]);
  });
});

/** Fetches `url` from within `page`; gives what a script there can see, or nothing where the browser keeps it back. */
function ask(page, url, options = {}) {
  return page.evaluate(
    async ([url, options]) => {
      try {
        const answer = await fetch(url, options);
        return { status: answer.status, fields: Object.fromEntries(answer.headers), body: await answer.text() };
      } catch (error) {
        if (error instanceof TypeError) return null;
        throw error;
      }
    },
    [url, options],
  );
}

function outcome(seen) {
  return seen === null ? BLOCKED : "read";
}
