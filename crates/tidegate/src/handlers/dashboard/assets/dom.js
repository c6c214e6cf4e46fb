// What touches the document. Text goes in as `textContent` only, so nothing that a client sent can become an element.

/** Characters that show nothing or turn the order of what stands around them. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The most characters of one text from outside that are shown; the server cuts at far fewer. */
const TEXT_MOST = 400;

export const byId = (id) => document.getElementById(id);

/** A new element; `role` and the like are attributes, `text` its text. Children are elements. */
export function make(tag, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

/** Writes `text` where it is not there yet: an unchanged node costs no layout and keeps a selection. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Text from outside as it can be shown: what is unseen gets a name, what is too long is cut. */
export function visible(text) {
  const named = String(text ?? "").replace(UNSEEN, (c) => `[U+${hex(c)}]`);
  return named.length > TEXT_MOST ? `${named.slice(0, TEXT_MOST)}…` : named;
}

function hex(character) {
  return character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

/** Shows `items` as the children of `parent`, one each. A child stays the same element as long as its key is among
 *  the keys, so that focus and what was unfolded stay. `create(item)` gives `[element, update]`. */
export function keep(parent, items, keyOf, create) {
  const before = kept.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!now.has(key)) now.set(key, [item, before.get(key) ?? create(item)]);
  }
  for (const [key, [element]] of before) if (!now.has(key)) remove(element);
  let place = parent.firstChild;
  for (const [item, [element, update]] of now.values()) {
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
    update(item);
  }
  kept.set(parent, new Map([...now].map(([key, [, child]]) => [key, child])));
}

/** The children of each parent that `keep` fills, by key. */
const kept = new WeakMap();

/** Without the element that holds the focus, what it stood in has it: not the top of the page. */
function remove(element) {
  const region = element.contains(document.activeElement) ? element.closest("[tabindex]") : null;
  element.remove();
  region?.focus();
}

/** A row for `keep`: cells by name, each made by its function, which gives `[element, update]`. */
export function row(cells) {
  return (item) => {
    const made = cells.map((cell) => cell(item));
    const element = make("tr", { role: "row" }, ...made.map(([cell]) => cell));
    return [element, (next) => made.forEach(([, update]) => update(next))];
  };
}

/** A cell that shows `text(item)`; `attributes` may hold a class. The text is isolated from the order of its
 *  neighbours. `title(item)` is shown on hovering. */
export function cell(text, attributes = {}, title = null) {
  return () => {
    const inner = make("bdi");
    const element = make("td", { role: "cell", ...attributes }, inner);
    const update = (item) => {
      say(inner, text(item));
      if (title) element.title = title(item);
    };
    return [element, update];
  };
}

/** The cell that names its row. */
export function head(text) {
  return () => {
    const inner = make("bdi");
    const element = make("th", { role: "rowheader", scope: "row" }, inner);
    return [element, (item) => say(inner, text(item))];
  };
}

/** Takes a bar's length, from 0 to 1. */
export function share(element, part) {
  element.style.setProperty("--share", Math.min(1, Math.max(0, part || 0)).toFixed(3));
}
