// What happens on the page: fetching again, the filters, and orders to breakers. Tables come as HTML, by htmx.
"use strict";
(() => {
  const LIVE_S = 3;
  const VIEW_S = 5; // until the first answer says how often its range is worth asking
  const $ = (id) => document.getElementById(id);
  const filters = $("filters");
  const query = () => new URLSearchParams(new FormData(filters)).toString();
  let asked = 0;
  let viewAt = Date.now();
  let liveAt = Date.now();

  async function series() {
    const mine = ++asked;
    const answer = await fetch(`/dash/series?${query()}`);
    if (answer.ok && mine === asked) plots.show(await answer.json());
  }

  function trouble(text) {
    $("trouble").textContent = text;
    $("trouble").hidden = text === "";
  }

  function refreshView() {
    viewAt = Date.now();
    htmx.trigger($("figures"), "refresh");
    htmx.trigger($("tables"), "refresh");
    series().then(() => trouble(""), () => trouble("The admin process does not answer; what you see is old."));
  }

  function tick() {
    if (document.hidden) return;
    const refreshS = Number(document.querySelector("[data-refresh-s]")?.dataset.refreshS ?? VIEW_S);
    if (Date.now() >= viewAt + 1000 * refreshS) refreshView();
    if (Date.now() >= liveAt + 1000 * LIVE_S && !$("confirm").open) {
      liveAt = Date.now();
      htmx.trigger($("live"), "refresh");
    }
  }

  const DONE = { open: "is held open: no call goes there", close: "is held closed: calls go there whatever happens", auto: "is let go" };
  const ASKED = {
    open: ["Hold open?", "No call will go there until you let it go."],
    close: ["Hold closed?", "Calls will go there whatever happens, until you let it go."],
    auto: ["Let go?", "Its breaker will open and close by itself again."],
  };

  function confirmed(order, endpoint) {
    const dialog = $("confirm");
    [$("confirm-title").textContent, $("confirm-text").textContent] = [ASKED[order][0], `${endpoint}: ${ASKED[order][1]}`];
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
  }

  async function give(order, endpoint) {
    $("said").textContent = `${endpoint}: the order is on its way`;
    try {
      const answer = await fetch("/admin/breakers", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ endpoint, order }),
      });
      const said = await answer.json();
      $("said").textContent = answer.ok ? `${endpoint} ${DONE[order]}` : said.error.message;
    } catch {
      $("said").textContent = "The admin process does not answer; it is not known whether the order was carried out.";
    }
    htmx.trigger($("live"), "refresh");
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-order]");
    if (button && (await confirmed(button.dataset.order, button.dataset.endpoint))) {
      await give(button.dataset.order, button.dataset.endpoint);
    }
  });
  filters.addEventListener("change", () => {
    history.replaceState(null, "", `/?${query()}`);
    refreshView();
  });
  addEventListener("visibilitychange", tick);
  series().catch(() => {});
  setInterval(tick, 500);
})();
