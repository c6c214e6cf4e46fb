// The colours: those of the system, or light or dark where the viewer chose. A classic script in the head, so that a
// chosen scheme is there before anything is painted.

(() => {
  "use strict";
  const KEY = "tidegate-colours";
  const SCHEMES = ["automatic", "light", "dark"];
  const root = document.documentElement;

  apply(remembered());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => (button.textContent = `Colours: ${current()}`);
    button.addEventListener("click", () => {
      apply(SCHEMES[(SCHEMES.indexOf(current()) + 1) % SCHEMES.length]);
      remember(current());
      name();
      document.dispatchEvent(new Event("colours"));
    });
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.dispatchEvent(new Event("colours")),
  );

  function current() {
    return root.dataset.colours ?? SCHEMES[0];
  }

  function apply(scheme) {
    root.dataset.colours = SCHEMES.includes(scheme) ? scheme : SCHEMES[0];
  }

  // A browser that keeps nothing for a page throws: then a choice lasts as long as the page.
  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function remember(scheme) {
    try {
      localStorage.setItem(KEY, scheme);
    } catch {
      // See above.
    }
  }
})();
