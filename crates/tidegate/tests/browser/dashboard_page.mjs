// The security dashboard as a page: what it makes of the data, in each state, size and colour scheme. The page is the
// server's, its stream the test's own. Run by `cargo xtask browser`, which sets TIDEGATE_URL (the server, with its
// closing slash), CHROMIUM (the program) and NODE_PATH (to playwright-core).

import assert from "node:assert/strict";
import { test } from "node:test";
import { faintTexts, skeletonFaults, unusable } from "./support/access.mjs";
import { DAY, KINDS, NOW, certificate, event, history, ownStream, second, snapshot, tell } from "./support/stream.mjs";
import { SCHEMES, background, overhang, visitor } from "./support/visit.mjs";

const BASE = process.env.TIDEGATE_URL;
const PAGE = `${BASE}security-dashboard`;

const SIZES = {
  phone: { width: 360, height: 740 },
  desk: { width: 1280, height: 800 },
  wall: { width: 1600, height: 900 },
};

/** Each state with its word in the title. */
const STATES = {
  well: "Well",
  watch: "Watch",
  attack: "Under attack",
  overload: "Overloaded",
  degraded: "Degraded",
  lost: "Connection lost",
};

/** Texts that become elements or code where a page takes them for markup. */
const HOSTILE = [
  "<img src=x onerror=globalThis.run=1>",
  "<script>globalThis.run=1</script>",
  "</script><script>globalThis.run=1</script>",
  "\"><svg onload=globalThis.run=1>",
  "' autofocus onfocus='globalThis.run=1",
  "javascript:globalThis.run=1",
  "{{constructor.constructor('globalThis.run=1')()}}",
  "<iframe srcdoc='<script>parent.run=1</script>'>",
  "\u202egnp.exe\u0000\u001b[31m",
];

const onPage = visitor(BASE);

/** Opens the page with a stream of the test's own, which has said `first`. */
async function open(options, first, check) {
  await onPage(options, async (page, faults) => {
    await ownStream(page);
    const answer = await page.goto(PAGE);
    assert.equal(answer.status(), 200);
    await page.waitForFunction(() => globalThis.streams?.length === 1);
    await tell(page, ["history", history()], ["snapshot", first]);
    await check(page, faults, answer);
  });
}

/** A snapshot in this state; `lost` is one of the page itself, and comes by an error. */
function inState(level) {
  return snapshot({ verdict: { level, line: `It is ${level}.`, advice: "This is to be done." } });
}

for (const [name, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of SCHEMES) {
    test(`obs_3 every state is clean and legible on a ${name}, ${colorScheme}`, async () => {
      await open({ viewport, colorScheme }, snapshot(), async (page, faults) => {
        for (const [level, word] of Object.entries(STATES)) {
          await tell(page, level === "lost" ? ["error"] : ["snapshot", inState(level)]);
          assert.match(await page.title(), new RegExp(`^\\S ${word} · tidegate$`));
          assert.equal(await page.locator("#level").textContent(), word);
          assert.match(await page.locator("#icon").getAttribute("href"), new RegExp(`/state-${level}\\.svg$`));
          assert.equal(await overhang(page), 0, "pixels that stick out to the right");
          assert.equal(await background(page), colorScheme, "colour scheme");
          assert.deepEqual(await faintTexts(page), [], `contrast in state ${level}`);
          assert.deepEqual(await unusable(page), [], "what can be used");
        }
        assert.deepEqual(await skeletonFaults(page), []);
        assert.deepEqual(faults, []);
      });
    });
  }
}

for (const viewport of [SIZES.wall, { width: 1920, height: 1080 }, { width: 3840, height: 2160 }]) {
  test(`obs_3 a wall of ${viewport.width} by ${viewport.height} shows all at once, TLS or not`, async () => {
    await open({ viewport }, snapshot(), async (page) => {
      for (const tls of [snapshot().tls, null]) {
        await tell(page, ["snapshot", snapshot({ tls })]);
        const outside = await page.evaluate(() => {
          const all = [...document.querySelectorAll("header, .figures div, .panel, .plot canvas")];
          const parts = all.filter((part) => part.checkVisibility());
          const fits = (box) => box.top >= 0 && box.left >= 0 && box.bottom <= innerHeight && box.right <= innerWidth;
          return parts.filter((part) => !fits(part.getBoundingClientRect())).map((part) => part.id || part.className);
        });
        assert.deepEqual(outside, []);
        assert.equal(await page.evaluate(() => document.documentElement.scrollHeight > innerHeight), false);
      }
    });
  });
}

test("sec_3 the policy of the page admits nothing inline and nothing from elsewhere", async () => {
  await open({}, snapshot(), async (page, faults, answer) => {
    const policy = answer.headers()["content-security-policy"].split("; ").sort();
    assert.deepEqual(policy, [
      "base-uri 'none'", "connect-src 'self'", "default-src 'none'", "form-action 'none'", "frame-ancestors 'none'",
      "img-src 'self'", "script-src 'self'", "style-src 'self'",
    ]);
    assert.equal(answer.headers()["cache-control"], "no-store");
    assert.deepEqual(faults, []);
  });
});

test("obs_3 whatever a client sent stays text", async () => {
  await open({}, snapshot(), async (page, faults) => {
    const elements = () => page.evaluate(() => document.querySelectorAll("script, img, svg, iframe, object").length);
    const before = await elements();
    for (const [index, text] of HOSTILE.entries()) {
      const hostile = { client: text, request: text, evidence: text, kind: text, code: text, id: text };
      const own = snapshot();
      const offender = { ...own.offenders[0], client: text, events: { [text]: 3 } };
      const offence = { at: NOW, kind: text, text, id: text };
      const limited = [{ client: text, refused: 1, last_seen: NOW }];
      const ban = { ...own.bans.list[0], client: text, reason: text, evidence: [offence] };
      const changed = {
        verdict: { level: "attack", line: text, advice: text }, offenders: [offender],
        events: [event("host", index, hostile)], bans: { mode: text, count: 1, list: [ban] },
        rate_limit: { ...own.rate_limit, policy: text, limited },
        workers: [{ ...own.workers[0], doing: text }],
        tls: { ...own.tls, certificates: [certificate([text, text], DAY)] },
      };
      await tell(page, ["snapshot", { ...own, ...changed }]);
      const shown = text.replace("\u202e", "[U+202E]").replace("\u0000", "[U+0000]").replace("\u001b", "[U+001B]");
      assert.equal(await page.locator("#events-rows .evidence bdi").textContent(), shown);
      assert.equal(await page.locator("#line").textContent(), shown);
      await page.locator("#bans-rows summary").click();
      await page.locator("#bans-rows button").click();
      await page.keyboard.press("Escape");
      const link = await page.locator("#events-rows a").evaluate((a) => a.href);
      assert.ok(link.startsWith(`${BASE}status/refusals/`), link);
    }
    assert.equal(await elements(), before, "elements made of texts");
    assert.equal(await page.evaluate(() => globalThis.run), undefined);
    assert.deepEqual(faults, []);
  });
});

test("tls_1 obs_3 a certificate that ends soon says so in words, and without TLS there is nothing to say", async () => {
  const certificates = [["a", 61], ["b", 14.01], ["c", 13.99], ["d", 0.5], ["e", -1]];
  const first = snapshot();
  first.tls.certificates = certificates.map(([name, days]) => certificate([name], days * DAY));
  await open({ viewport: SIZES.desk }, first, async (page, faults) => {
    const ends = page.locator("#tls-rows td span");
    const texts = ["expired: renew", "12 h 0 min: renew", "13 d 23 h: renew", "14 d 0 h", "61 d 0 h"];
    assert.deepEqual(await ends.allTextContents(), texts);
    const marked = await ends.evaluateAll((all) => all.map((end) => end.className));
    assert.deepEqual(marked, ["chip ban", "chip ban", "chip ban", "", ""]);
    assert.equal(await page.locator("#tls-failed").textContent(), "312 of 41,516");
    assert.equal(await page.locator("#tls-http2").textContent(), "12.3M of 18.4M");
    const own = certificate(["localhost", "127.0.0.1"], DAY, { more: 2, self_signed: true });
    await tell(page, ["snapshot", snapshot({ tls: { ...first.tls, certificates: [own] } })]);
    const below = await page.locator("#tls-rows .under").textContent();
    assert.equal(below, "self-signed, for development · 127.0.0.1, 2 more");
    assert.ok(await page.locator("#tls").isVisible());
    await tell(page, ["snapshot", snapshot({ tls: null })]);
    assert.ok(await page.locator("#tls").isHidden());
    assert.deepEqual(faults, []);
  });
});

test("obs_3 a stream that ends is said, and taken up again", async () => {
  await open({}, snapshot(), async (page, faults) => {
    await tell(page, ["error"]);
    assert.match(await page.locator("#line").textContent(), /^Last data from \d\d:\d\d:\d\d\.$/);
    assert.equal(await page.locator("#live").textContent(), "Not live");
    assert.match(await page.locator("#announcement").textContent(), /^Connection lost\./);
    await page.clock.fastForward(1000);
    assert.equal(await page.evaluate(() => globalThis.streams.length), 2);
    assert.equal(await page.evaluate(() => globalThis.streams[0].closed), true);
    await tell(page, ["history", history()], ["snapshot", inState("watch")]);
    assert.equal(await page.locator("#live").textContent(), "Live");
    assert.equal(await page.locator("#level").textContent(), "Watch");
    assert.deepEqual(faults, []);
  });
});

test("obs_3 a stream that falls silent is no longer live", async () => {
  await open({}, snapshot(), async (page) => {
    const level = () => page.locator("#level").textContent();
    await tell(page, ["snapshot", snapshot()]);
    await page.clock.fastForward(2000);
    assert.equal(await level(), "Well", "a second may go missing");
    await page.clock.fastForward(2000);
    assert.equal(await level(), "Connection lost");
  });
});

test("obs_3 the state is read out when it changes, and not each second", async () => {
  await open({}, inState("attack"), async (page) => {
    const told = page.locator("#announcement");
    assert.equal(await told.textContent(), "Under attack. It is attack. This is to be done.");
    const verdict = { level: "attack", line: "1 more.", advice: "" };
    await tell(page, ["snapshot", snapshot({ verdict })]);
    assert.equal(await page.locator("#line").textContent(), "1 more.");
    assert.equal(await told.textContent(), "Under attack. It is attack. This is to be done.");
    await tell(page, ["snapshot", inState("well")]);
    assert.equal(await told.textContent(), "Well. It is well. This is to be done.");
    const live = await page.locator("[aria-live], [role=status], [role=alert]").count();
    assert.equal(live, 2, "the verdict and the answer to a lifted ban");
  });
});

test("obs_3 events wait while somebody reads, by mouse or keyboard, and can be filtered", async () => {
  await open({}, snapshot(), async (page) => {
    const kinds = () => page.locator("#events-rows .chip").allTextContents();
    const more = (index) => snapshot({ events: [event("scan", 100 + index), ...snapshot().events] });
    assert.deepEqual(await kinds(), KINDS);
    await page.locator("#events-pause").focus();
    await page.keyboard.press("Space");
    await tell(page, ["snapshot", more(1)]);
    assert.deepEqual(await kinds(), KINDS, "held by the button");
    assert.equal(await page.locator("#events-note").textContent(), "held while you read · 1 newer");
    await page.keyboard.press("Space");
    assert.deepEqual(await kinds(), ["scan", ...KINDS]);
    await page.locator("#events-rows tr").first().hover();
    await tell(page, ["snapshot", more(2)], ["snapshot", snapshot()]);
    assert.deepEqual(await kinds(), ["scan", ...KINDS], "held by the mouse");
    await page.mouse.move(0, 0);
    await tell(page, ["snapshot", snapshot()]);
    assert.deepEqual(await kinds(), KINDS);
    await page.locator("#events-rows tr").first().hover();
    await page.clock.fastForward(31_000);
    await tell(page, ["snapshot", more(3)]);
    assert.deepEqual(await kinds(), ["scan", ...KINDS], "a mouse that was left behind holds nothing");
    await tell(page, ["snapshot", snapshot()]);
    await page.getByRole("combobox", { name: "Kind" }).selectOption("host");
    assert.deepEqual(await kinds(), ["host"]);
  });
});

test("obs_3 the keyboard reaches every control, and shows where it is", async () => {
  await open({ viewport: SIZES.desk }, snapshot(), async (page) => {
    const controls = await page.locator("a[href], button, select, summary, [tabindex='0']").evaluateAll(
      (all) => all.filter((control) => control.checkVisibility()).length,
    );
    for (let index = 0; index < controls; index++) {
      await page.keyboard.press("Tab");
      const [at, outline] = await page.evaluate(() => {
        const all = [...document.querySelectorAll("a[href], button, select, summary, [tabindex='0']")];
        const shown = all.filter((control) => control.checkVisibility());
        const focused = document.activeElement;
        return [shown.indexOf(focused), getComputedStyle(focused).outlineStyle];
      });
      assert.deepEqual([at, outline], [index, "solid"]);
    }
  });
});

test("obs_3 the chosen colours stay", async () => {
  await open({ colorScheme: "light" }, snapshot(), async (page) => {
    const button = page.getByRole("button", { name: "Colours" });
    assert.equal(await background(page), "light");
    await button.click();
    await button.click();
    assert.equal(await button.textContent(), "Colours: dark");
    assert.equal(await background(page), "dark");
    await page.reload();
    assert.equal(await background(page), "dark");
  });
});

test("obs_3 what the page keeps is bounded", async () => {
  await open({}, snapshot(), async (page, faults) => {
    const nodes = () => page.evaluate(() => document.querySelectorAll("*").length);
    const flood = (from, length) => Array.from({ length }, (_, index) => {
      const events = Array.from({ length: 80 }, (_, at) => event("scan", (from + index) * 80 + at));
      return ["snapshot", snapshot({ second: second(NOW / 1000 + from + index), events })];
    });
    await tell(page, ...flood(1, 310));
    assert.equal(await page.locator("#events-rows tr").count(), 50);
    const before = await nodes();
    await tell(page, ...flood(311, 90));
    assert.equal(await nodes(), before);
    assert.deepEqual(faults, []);
  });
});

test("obs_3 a hidden page draws nothing, and its title still tells", async () => {
  await open({}, snapshot(), async (page) => {
    const hide = (hidden) => page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { configurable: true, value });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    const requests = () => page.locator("[data-value=requests]").textContent();
    await hide(true);
    await tell(page, ["snapshot", { ...inState("attack"), second: second(NOW / 1000 + 1, { requests: 4711 }) }]);
    assert.equal(await page.title(), "✖ Under attack · tidegate");
    assert.equal(await requests(), "800");
    await hide(false);
    assert.equal(await requests(), "4,711");
  });
});

test("obs_3 a newer server brings its own page", async () => {
  await open({}, snapshot(), async (page) => {
    await Promise.all([page.waitForEvent("load"), tell(page, ["snapshot", snapshot({ version: "0.2.0" })])]);
    assert.equal(await page.title(), "Connecting · tidegate");
  });
});

test("obs_3 without script the page says where the data is", async () => {
  await onPage({ javaScriptEnabled: false }, async (page) => {
    await page.goto(PAGE);
    const link = page.getByRole("link", { name: "The same data as JSON" });
    assert.equal(await link.getAttribute("href"), "/security-dashboard?format=json");
  });
});
