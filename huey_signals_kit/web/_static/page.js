// Refreshes the live part of the page, unless the tab is hidden or a control has the focus.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const isBusy = () => document.hidden || main.querySelector("form") || main.querySelector(":focus") || String(getSelection());
  async function refresh() {
    if (isBusy()) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || isBusy()) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main"), when = document.querySelector("[data-when]");
      if (fresh) main.replaceChildren(...fresh.childNodes);
      if (when && page.querySelector("[data-when]")) when.replaceWith(page.querySelector("[data-when]"));
    } catch { /* the server is away: the page stays, and its age shows it */ }
  }
  setInterval(refresh, 5000);
})();
