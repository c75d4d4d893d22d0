// The panel of one resource: its attributes, its newest value, a chart where it holds values, what can be done.
import { attributesOf, holdsValues, refusal } from "./types.js";

/**
 * Show a resource.
 * @returns {{changed: function, end: function}} told of changes; ends what runs
 */
export function details(root, ctx, node, types) {
  const { el, replace } = ctx;
  const aborted = new AbortController();
  const table = el("tbody");
  const title = el("h2", null, node.name);
  const place = el("p", { class: "mono muted" }, node.address);
  const value = el("div");

  function cell(content) {
    if (content !== null && typeof content === "object") return el("code", null, JSON.stringify(content, null, Array.isArray(content) ? 0 : 1));
    return String(content);
  }

  async function read() {
    const answer = await ctx.ask({ op: 2, to: node.address }, aborted.signal);
    const words = refusal(answer);
    if (words) return replace(table, el("tr", null, el("td", { class: "error" }, words)));
    rows(attributesOf(answer.pc));
  }

  function rows(attributes) {
    replace(table, Object.entries(attributes).map(([name, content]) =>
      el("tr", null, el("th", { scope: "row" }, name), el("td", null, cell(content)))));
  }

  function latest(content) {
    replace(value, el("p", { class: "label" }, "Newest value"), el("div", { class: "figure flash", id: "newest" }, typeof content === "object" ? JSON.stringify(content) : content));
  }

  replace(root, title, place, value, el("table", { class: "pairs" }, el("caption", { class: "only-read" }, `Attributes of ${node.name}`), table));
  read().catch(() => {});
  if (holdsValues(node.ty)) {
    ctx.ask({ op: 2, to: `${node.address}/la` }, aborted.signal)
      .then(answer => { if (!refusal(answer)) latest(attributesOf(answer.pc).con); }).catch(() => {});
  }
  return {
    changed(net, attributes, instance) {
      if (net === 3 && instance) latest(attributes.con);
      if (net === 1) rows(attributes);
    },
    end() { aborted.abort(); },
  };
}
