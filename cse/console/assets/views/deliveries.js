// The delivery log: what became of every notification and forwarded request, with the reason; and what was given up.
import { clock } from "../dom.js";

const SHOWN = 200;
const KIND = { delivered: "good", failed: "warn", kept: "accent", superseded: "", refused: "bad", "given up": "bad", dropped: "bad" };

class Deliveries {
  constructor(root, ctx) {
    this.ctx = ctx;
    this.records = [];
    const { el, replace } = ctx;
    const changed = { input: () => this.draw(), change: () => this.draw() };
    this.words = el("input", { id: "find", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "target, receiver, reason …", on: changed });
    this.lost = el("input", { type: "checkbox", on: { change: () => this.start() } });
    this.counts = el("div", { class: "row counts", role: "status" });
    this.body = el("tbody");
    this.empty = el("p", { class: "empty" }, "Nothing was sent yet.");
    replace(root, el("h1", null, "Deliveries"),
      el("p", { class: "lead" }, "Every attempt to deliver a notification or to forward a request, and why it failed when it did."),
      el("div", { class: "bar" }, el("div", { class: "field" }, el("label", { for: "find" }, "Find"), this.words),
        el("label", { class: "check" }, this.lost, "Only what was lost, with content")),
      el("section", { class: "card", "aria-label": "Delivery log" }, this.counts,
        el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "List of deliveries" },
          el("table", { class: "log" }, el("caption", { class: "only-read" }, "Deliveries, newest first"),
            el("thead", null, el("tr", null, ["Time", "Result", "Target", "Receiver", "Reason", "Try", "ms"].map((title, at) =>
              el("th", { scope: "col", class: at > 4 ? "number" : null }, title)))), this.body)), this.empty));
  }

  async start() {
    const found = await this.ctx.api(this.lost.checked ? "deliveries?dead=1" : "deliveries");
    this.records = found.records.reverse();
    this.tell(found);
    this.draw();
  }

  tell({ counts, results }) {
    const { el, replace } = this.ctx;
    const shown = { waiting: counts.waiting, ...results };
    replace(this.counts, Object.entries(shown).map(([name, number]) =>
      el("span", { class: `badge ${KIND[name] || ""}` }, `${name} ${number}`)));
  }

  add(record) {
    if (this.lost.checked || record.number <= (this.records[0]?.number ?? 0)) return;
    this.records.unshift(record);
    this.records.length = Math.min(this.records.length, 2000);
    this.waiting ||= setTimeout(async () => {
      this.waiting = 0;
      this.draw();
      try { this.tell(await this.ctx.api("deliveries?since=999999999999")); } catch { /* the frame says it */ }
    }, 500);
  }

  draw() {
    const { el, replace } = this.ctx;
    const words = this.words.value.trim().toLowerCase();
    const found = this.records.filter(one => !words || `${one.target} ${one.receiver} ${one.reason} ${one.result} ${one.subscription} ${one.rqi}`.toLowerCase().includes(words));
    this.empty.hidden = found.length > 0;
    replace(this.body, found.slice(0, SHOWN).map(one => el("tr", null,
      el("td", null, clock(one.at)), el("td", null, el("span", { class: `badge ${KIND[one.result] ?? ""}` }, one.result)),
      el("td", { class: "mono" }, one.target || "–"), el("td", null, one.receiver || "–"),
      el("td", null, one.reason || (one.rsc ? `answered ${one.rsc}` : "–"),
        one.content === undefined ? null : el("details", null, el("summary", null, "Content"), el("pre", { tabindex: "0" }, JSON.stringify(one.content, null, 2)))),
      el("td", { class: "number" }, one.attempt), el("td", { class: "number" }, one.milliseconds))));
  }
}

export default {
  id: "deliveries",
  title: "Deliveries",
  roles: ["viewer", "operator", "admin"],
  mount(root, ctx) {
    const log = new Deliveries(root, ctx);
    const add = event => log.add(event.detail);
    ctx.live.addEventListener("delivery", add);
    log.start().catch(error => root.append(ctx.el("p", { class: "error", role: "alert" }, error.message)));
    return () => {
      ctx.live.removeEventListener("delivery", add);
      clearTimeout(log.waiting);
    };
  },
};
