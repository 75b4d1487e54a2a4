// Refreshes the page, unless the tab is hidden or the reader is in the middle of something.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const SECONDS = 5;
  const boxes = () => [...main.querySelectorAll(".scroll")];
  // A control with the focus would lose it, and what is about to be confirmed must not change.
  const controls = "a:focus, input:focus, button:focus, select:focus, summary:focus, button.go";
  const isBusy = () => document.hidden || main.querySelector(controls) || String(getSelection());

  function show(page) {
    const left = boxes().map((box) => box.scrollLeft), focus = boxes().findIndex((box) => box.matches(":focus"));
    const fresh = [...page.querySelector("main[data-live]").children], old = [...main.children];
    if (fresh.length !== old.length) main.replaceChildren(...fresh);
    else old.forEach((node, at) => node.isEqualNode(fresh[at]) || node.replaceWith(fresh[at]));
    boxes().forEach((box, at) => { box.scrollLeft = left[at] || 0; });
    boxes()[focus]?.focus({ preventScroll: true });
  }

  async function refresh() {
    const when = document.querySelector("[data-when]");
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(2000 * SECONDS) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (isBusy()) return;
      show(page);
      when.replaceWith(page.querySelector("[data-when]"));
    } catch {
      // No answer, or the user was logged out: keep the content, and mark it as out of date.
      if (when.dataset.when) return;
      when.dataset.when = "old";
      when.append("; the server does not answer, so this is out of date");
    }
  }

  async function run() {
    if (!isBusy()) await refresh();
    setTimeout(run, 1000 * SECONDS);
  }
  document.addEventListener("visibilitychange", () => isBusy() || refresh());
  setTimeout(run, 1000 * SECONDS);
})();
