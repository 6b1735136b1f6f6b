"use strict";
// Loads the page again now and then, and puts the new content in the place of the old. What has the focus, and how far a table is
// scrolled, stays as it is. If the worker does not answer, the page says so: old figures must not look like new ones.
(() => {
  const every = 10000;
  const patience = 20000;
  let isLoading = false;
  const stale = document.getElementById("stale");
  let answered = Date.now();
  const say = (text) => {
    stale.hidden = !text;
    if (stale.textContent !== text) stale.textContent = text;
  };
  const replace = (fresh) => {
    const scrolled = new Map();
    for (const region of document.querySelectorAll(".scroll")) scrolled.set(region.id, region.scrollLeft);
    const focused = document.activeElement && document.activeElement.id;
    // A screen reader says the verdict when it changes. It listens only to an element that was there before.
    const verdict = fresh.getElementById("summary").textContent;
    if (verdict !== document.getElementById("summary").textContent) document.getElementById("said").textContent = verdict;
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    document.title = fresh.title;
    const icon = fresh.querySelector("link[rel=icon]");
    if (icon) document.querySelector("link[rel=icon]").href = icon.href;
    for (const [id, left] of scrolled) {
      const region = document.getElementById(id);
      if (region) region.scrollLeft = left;
    }
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };
  const load = async () => {
    if (document.hidden || isLoading) return;
    isLoading = true;
    try {
      const answer = await fetch(location.origin + location.pathname, { cache: "no-store", signal: AbortSignal.timeout(patience) });
      if (!answer.ok) throw new Error("status " + answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!fresh.getElementById("summary")) throw new Error("not the page");
      replace(fresh);
      answered = Date.now();
      say("");
    } catch (error) {
      const minutes = Math.floor((Date.now() - answered) / 60000);
      const since = minutes < 1 ? "for less than a minute" : "for " + minutes + " min";
      say("These figures are old: the worker has not answered " + since + " (" + error.message + ").");
    } finally {
      isLoading = false;
    }
  };
  setInterval(load, every);
  document.addEventListener("visibilitychange", load);
})();
