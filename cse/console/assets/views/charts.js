// Charts of containers and time series side by side: those that were chosen in the tree, or the first that hold numbers.
import { Chart, numbersIn } from "../chart.js";
import { attributesOf, refusal } from "../types.js";
import { SPANS, pointOf, readPoints } from "../values.js";

const FIRST = 6;
const LOOKED_AT = 60;

class Charts {
  constructor(root, ctx) {
    this.ctx = ctx;
    this.shown = new Map();
    this.aborted = new AbortController();
    const { el, replace } = ctx;
    const chosen = ctx.settings.get("span", 300e3);
    this.span = el("select", { id: "span", on: { change: () => { ctx.settings.set("span", Number(this.span.value)); this.load(); } } },
      SPANS.map(([millis, words]) => el("option", { value: millis, selected: millis === chosen }, words)));
    this.note = el("p", { class: "muted" });
    this.cards = el("div", { class: "cards charts" });
    replace(root, el("h1", null, "Charts"), el("p", { class: "lead" }, "Containers and time series over time, moving as values come."),
      el("div", { class: "bar" }, el("div", { class: "field" }, el("label", { for: "span" }, "The last"), this.span)), this.note, this.cards);
  }

  async start() {
    let holders = this.ctx.settings.get("pins", []);
    this.pinned = holders.length > 0;
    if (!this.pinned) holders = await this.first();
    this.note.textContent = this.pinned ? "" : holders.length
      ? "The first places that hold numbers. Choose your own with “Add to charts” in the resource tree."
      : "No container or time series that you may see holds numbers yet.";
    this.ctx.replace(this.cards);
    for (const holder of holders) this.card(holder);
    this.ctx.live.watch(holders.map(holder => holder.address));
    await this.load();
  }

  async first() {
    const base = this.ctx.settings.session.cse.name;
    const answer = await this.ctx.ask({ op: 2, to: base, rcn: 6, fc: { fu: 1, ty: [3, 29], lim: LOOKED_AT } }, this.aborted.signal);
    const found = [];
    for (const one of answer.pc?.["m2m:rrl"]?.rrf || []) {
      if (found.length === FIRST) break;
      const newest = await this.ctx.ask({ op: 2, to: `${one.val}/la` }, this.aborted.signal);
      if (!refusal(newest) && Object.keys(numbersIn(attributesOf(newest.pc).con)).length) found.push({ address: one.val, ty: one.typ });
    }
    return found;
  }

  card(holder) {
    const { el } = this.ctx;
    const parts = holder.address.split("/");
    const chart = new Chart(parts.slice(1).join("/"), this.ctx.announce);
    const card = el("section", { class: "card", "aria-label": holder.address },
      el("div", { class: "row" }, el("h2", null, el("a", { href: `#/tree?to=${encodeURIComponent(holder.address)}` }, parts.slice(1).join(" / "))), el("span", { class: "space" }),
        this.pinned ? el("button", { type: "button", class: "quiet", "aria-label": `Remove ${holder.address} from the charts`, on: { click: () => this.remove(holder) } }, "Remove") : null),
      chart.node);
    this.cards.append(card);
    this.shown.set(holder.address, { holder, chart, card });
  }

  remove(holder) {
    this.ctx.settings.set("pins", this.ctx.settings.get("pins", []).filter(one => one.address !== holder.address));
    this.shown.get(holder.address)?.card.remove();
    this.shown.delete(holder.address);
    this.ctx.live.watch([...this.shown.keys()]);
  }

  async load() {
    await Promise.all([...this.shown.values()].map(async ({ holder, chart }) =>
      chart.set(await readPoints(this.ctx, holder, Number(this.span.value), this.aborted.signal))));
  }

  changed({ to, net, rep }) {
    const point = net === 3 ? pointOf(attributesOf(rep)) : null;
    if (point) this.shown.get(to)?.chart.add(point);
  }
}

export default {
  id: "charts",
  title: "Charts",
  roles: ["viewer", "operator", "admin"],
  mount(root, ctx) {
    const charts = new Charts(root, ctx);
    const changed = event => charts.changed(event.detail);
    ctx.live.addEventListener("change", changed);
    charts.start().catch(error => {
      if (error.name !== "AbortError") root.append(ctx.el("p", { class: "error", role: "alert" }, error.message));
    });
    return () => {
      charts.aborted.abort();
      ctx.live.removeEventListener("change", changed);
    };
  },
};
