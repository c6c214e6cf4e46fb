// Whether everybody can read and use a page, as far as a program can tell: contrast, names, sizes, focus.

/** The texts whose contrast with their ground is less than 4.5 (WCAG 2.2, 1.4.3), each with its number. Looks at every
 *  element that shows a text of its own. */
export function faintTexts(page) {
  return page.evaluate(() => {
    const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    /** Any colour of the style sheet as red, green, blue and alpha. */
    const channels = (colour) => {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      return pen.getImageData(0, 0, 1, 1).data;
    };
    const linear = (share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
    const luminance = (colour) => {
      const [red, green, blue] = [...channels(colour)].map((channel) => linear(channel / 255));
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const ground = (element) => {
      const colour = getComputedStyle(element).backgroundColor;
      return channels(colour)[3] === 0 && element.parentElement ? ground(element.parentElement) : colour;
    };
    const contrast = (element) => {
      const [low, high] = [getComputedStyle(element).color, ground(element)].map(luminance).sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    };
    const hasText = (element) =>
      [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== "");
    const texts = [...document.body.querySelectorAll("*")].filter((e) => hasText(e) && e.checkVisibility());
    return texts.filter((e) => contrast(e) < 4.5).map((e) => `${e.textContent.trim()}: ${contrast(e).toFixed(2)}`);
  });
}

/** What can be used and has no name to a screen reader, or is smaller than 24 pixels (WCAG 2.2, 2.5.8; a link within
 *  text may be). */
export function unusable(page) {
  return page.evaluate(() => {
    const controls = [...document.querySelectorAll("button, select, input, summary, a[href], [tabindex='0']")];
    const shown = controls.filter((control) => control.checkVisibility());
    const named = (control) => {
      const by = control.getAttribute("aria-labelledby");
      const told = by ? document.getElementById(by) : null;
      const label = control.labels?.[0];
      return [told, label, control].some((e) => e?.textContent.trim()) || control.getAttribute("aria-label");
    };
    const small = (control) => control.matches("button, select, input") && control.offsetHeight < 24;
    return shown.filter((control) => !named(control) || small(control)).map((control) => control.outerHTML);
  });
}

/** What is not as it should be in the skeleton that a screen reader walks along. */
export function skeletonFaults(page) {
  return page.evaluate(() => {
    const count = (selector) => document.querySelectorAll(selector).length;
    const levels = [...document.querySelectorAll("h1, h2, h3")].map((heading) => Number(heading.tagName[1]));
    return Object.entries({
      "one main heading": count("h1") === 1,
      "one main landmark": count("main") === 1,
      "a language": document.documentElement.lang !== "",
      "no heading level left out": levels.every((level, at) => level <= (levels[at - 1] ?? 0) + 1),
      "every table has a caption": count("table") === count("table > caption"),
      "every section has a name": count("section:not([aria-label], [aria-labelledby])") === 0,
      "no id twice": new Set([...document.querySelectorAll("[id]")].map((e) => e.id)).size === count("[id]"),
    })
      .filter(([, holds]) => !holds)
      .map(([what]) => what);
  });
}
