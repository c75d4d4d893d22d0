// The stack (the CSE and its neighbours) as several views follow it: one document, told again as it changes.

const STYLE = "stack.css";
const SAMPLES = 1800;

/** Have the style of these views, once. */
function style(el) {
  if (!document.head.querySelector(`link[href="${STYLE}"]`)) document.head.append(el("link", { rel: "stylesheet", href: STYLE }));
}

/**
 * Follow the stack.
 * @param {object} ctx of the view
 * @param {(stack: object|null, history: Array, trouble: string) => void} take gets every new document; history holds
 *   [at, pending, oldest_s, forwarded, cloud] of the cloud sync; trouble says why there is no newer one
 * @returns {() => void} ends it
 */
export function follow(ctx, take) {
  let ended = false;
  let asking = false;
  let last = null;
  let history = [];
  let news = {};
  style(ctx.el);
  const ask = async () => {
    if (asking) return;
    asking = true;
    news = {};
    try {
      const shown = await ctx.api("stack");
      history = shown.history || [];
      // What was told meanwhile may be newer than the answer.
      last = news.number > shown.number ? { ...shown, ...news } : shown;
      if (!ended) take(last, history, "");
    } catch (error) {
      if (!ended) take(last, history, error.message);
    } finally { asking = false; }
  };
  const told = event => {
    if (event.detail.ask) { ask(); return; }
    Object.assign(news, event.detail);
    if (!last) return;
    last = { ...last, ...event.detail };
    const { sync } = last;
    if (sync.cloud) history = [...history.slice(1 - SAMPLES), [last.at, sync.pending, sync.oldest_pending_s, sync.forwarded, sync.cloud]];
    take(last, history, "");
  };
  const connected = event => { if (event.detail === "live") ask(); };
  ctx.live.addEventListener("stack", told);
  ctx.live.addEventListener("state", connected);
  ctx.live.addEventListener("dropped", ask);
  ask();
  return () => {
    ended = true;
    ctx.live.removeEventListener("stack", told);
    ctx.live.removeEventListener("state", connected);
    ctx.live.removeEventListener("dropped", ask);
  };
}

const GOOD = new Set(["ACTIVE", "READY", "SERVING", "STARTED", "INSTANTIATED", "up", "MOVED", "registered"]);
const BAD = new Set(["INACTIVE", "TERMINATED", "STOPPED", "NOT_INSTANTIATED", "down", "FAILED", "no answer"]);

/** How a state is shown: tone (colour) and shape, so that neither says it alone. */
export function toneOf(word) {
  if (GOOD.has(word)) return { tone: "good", shape: "disc" };
  if (BAD.has(word)) return { tone: "bad", shape: "diamond" };
  if (!word || word === "off" || word === "not exposed") return { tone: "none", shape: "ring" };
  return { tone: "warn", shape: "square" };
}

const SHAPES = { disc: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11z", diamond: "M8 1.5 14.5 8 8 14.5 1.5 8z", square: "M3 3h10v10H3z", ring: "M8 3.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z" };

/** The outline of a shape in a box of 16 by 16. */
export const outline = shape => SHAPES[shape];

/** A state as a badge: shape and word. */
export function badge(ctx, word) {
  const { tone, shape } = toneOf(word);
  const filled = shape === "disc";
  return ctx.el("span", { class: `badge state ${tone === "none" ? "" : tone}` },
    ctx.el("svg:svg", { viewBox: "0 0 16 16", width: 10, height: 10, "aria-hidden": "true" },
      ctx.el("svg:path", { d: SHAPES[shape], fill: filled ? "currentColor" : "none", stroke: "currentColor", "stroke-width": 2.2 })),
    word || "not known");
}

/** A table with a caption for those who cannot see it. Cells that are objects {sort, node} or nodes or texts. */
export function table(ctx, caption, columns, rows, empty = "nothing yet") {
  const { el } = ctx;
  if (!rows.length) return el("p", { class: "muted" }, empty);
  return el("div", { class: "scroll stack-table", tabindex: "0", role: "region", "aria-label": caption }, el("table", null,
    el("caption", { class: "only-read" }, caption),
    el("thead", null, el("tr", null, columns.map(one => el("th", { scope: "col", class: one.number ? "number" : null }, one.title ?? one)))),
    el("tbody", null, rows.map(cells => el("tr", cells.props || null, (cells.cells || cells).map((cell, place) =>
      el("td", { class: columns[place].number ? "number" : null }, cell)))))));
}

/** A number with its unit: 0.4 s, 12 s, 3 min. */
export function seconds(value) {
  if (!Number.isFinite(value)) return "";
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${(value / 3600).toFixed(1)} h`;
}

/** A size in bytes. */
export function bytes(value) {
  if (value < 1024) return `${value} B`;
  return value < 1048576 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / 1048576).toFixed(1)} MiB`;
}

/** A rate per second. */
export const perSecond = value => (value >= 100 ? Math.round(value) : value.toFixed(1));

/** Why something is not shown, in the place where it would be. */
export function note(ctx, words, tone = "") {
  return ctx.el("p", { class: `note ${tone}`, role: tone === "bad" ? "alert" : null }, words);
}

/** How to have the neighbours shown. */
export function noAdapter(ctx) {
  return ctx.el("div", { class: "card empty" }, ctx.el("p", null, "This CSE knows of no adapter, so there is nothing to show here."),
    ctx.el("p", null, "Start it with ", ctx.el("code", null, "onemec cse --console-peer adapter=http://127.0.0.1:8082"), ", or run ", ctx.el("code", null, "onemec up"), "."));
}
