// The panel of one resource: its newest value, a chart where it holds values, its attributes, what can be done.
import { Chart } from "./chart.js";
import { actions } from "./forms.js";
import { attributesOf, holdsValues, refusal } from "./types.js";
import { SPANS, pointOf, readPoints } from "./values.js";

/**
 * Show a resource.
 * @param {function} opened called when something was created below it
 * @returns {{changed: function, end: function}} told of changes; ends what runs
 */
export function details(root, ctx, node, types, opened = () => {}) {
  const { el, replace } = ctx;
  const aborted = new AbortController();
  const table = el("tbody");
  const value = el("div");
  const holder = holdsValues(node.ty);
  const chart = holder ? new Chart(node.name, ctx.announce) : null;
  const drawn = el("div", { hidden: true });
  const state = { attributes: null };

  function cell(content) {
    if (content !== null && typeof content === "object") return el("code", null, JSON.stringify(content, null, 1));
    return String(content);
  }

  async function read() {
    const answer = await ctx.ask({ op: 2, to: node.address }, aborted.signal);
    const words = refusal(answer);
    if (words) replace(table, el("tr", null, el("td", { class: "error" }, words)));
    else {
      state.root = Object.keys(answer.pc || {})[0];
      rows(attributesOf(answer.pc));
    }
  }

  function rows(attributes) {
    state.attributes = attributes;
    replace(table, Object.entries(attributes).map(([name, content]) =>
      el("tr", null, el("th", { scope: "row" }, name), el("td", null, cell(content)))));
  }

  function latest(content) {
    drawn.hidden = false;
    const text = typeof content === "object" ? JSON.stringify(content) : String(content);
    replace(value, el("p", { class: "label" }, "Newest value"), el("div", { class: text.length > 24 ? "figure long flash" : "figure flash", id: "newest" }, text));
  }

  function span() {
    const chosen = ctx.settings.get("span", 300e3);
    const choice = el("select", { id: "span", on: { change: () => { ctx.settings.set("span", Number(choice.value)); load(); } } },
      SPANS.map(([millis, words]) => el("option", { value: millis, selected: millis === chosen }, words)));
    return el("div", { class: "row" }, el("label", { for: "span" }, "Chart of the last"), el("span", null, choice), pin());
  }

  function pin() {
    const pins = () => ctx.settings.get("pins", []);
    const is = () => pins().some(one => one.address === node.address);
    const button = el("button", { type: "button", class: "quiet", "aria-pressed": String(is()), on: { click: () => {
      ctx.settings.set("pins", is() ? pins().filter(one => one.address !== node.address) : [...pins(), { address: node.address, ty: node.ty }]);
      button.setAttribute("aria-pressed", String(is()));
      button.textContent = is() ? "In charts" : "Add to charts";
    } } }, is() ? "In charts" : "Add to charts");
    return button;
  }

  async function load() {
    chart.set(await readPoints(ctx, node, ctx.settings.get("span", 300e3), aborted.signal));
  }

  const quiet = error => { if (error.name !== "AbortError") replace(table, el("tr", null, el("td", { class: "error" }, error.message))); };
  replace(root,
    el("div", { class: "row" }, el("h2", null, node.name), el("span", { class: "badge" }, types[node.ty]?.name || `type ${node.ty}`)),
    el("p", { class: "mono muted address" }, node.address), value,
    drawn,
    actions(ctx, node, types, state, () => { read().catch(quiet); opened(); }),
    el("h3", null, "Attributes"),
    el("table", { class: "pairs" }, el("caption", { class: "only-read" }, `Attributes of ${node.name}`), table));
  read().catch(quiet);
  if (holder) {
    replace(drawn, span(), chart.node);
    ctx.ask({ op: 2, to: `${node.address}/la` }, aborted.signal)
      .then(answer => { if (!refusal(answer)) latest(attributesOf(answer.pc).con); }).catch(() => {});
    load().catch(quiet);
  }
  return {
    changed(net, attributes, instance) {
      if (net === 1) rows(attributes);
      if (net !== 3 || !instance || !holder) return;
      latest(attributes.con);
      const point = pointOf(attributes);
      if (point) chart.add(point);
    },
    end() { aborted.abort(); },
  };
}
