// Cloud sync: how far the copies at the IN-CSE lag behind, at which rate they follow, what waits and why.
import { Chart } from "../chart.js";
import { badge, bytes, follow, noAdapter, note, perSecond, seconds, table } from "../stack.js";

const RATE_S = 10;

class Sync {
  constructor(root, ctx) {
    this.ctx = ctx;
    this._tabled = "";
    this._known = 0;
    const { el } = ctx;
    this.trouble = el("div", null);
    this.figures = el("div", { class: "figures" });
    this.waiting = new Chart("Instances that wait for the cloud", ctx.announce, 1800);
    this.behind = new Chart("Seconds behind", ctx.announce, 1800);
    this.charts = el("div", { class: "pair" },
      el("section", { class: "card" }, el("h2", null, "Instances that wait"), this.waiting.node),
      el("section", { class: "card" }, el("h2", null, "Seconds behind"), this.behind.node));
    this.list = el("section", { class: "card" });
    this.body = el("div", { class: "stacked" }, this.figures, this.charts, this.list);
    root.append(el("h1", null, "Cloud sync"),
      el("p", { class: "lead" }, "The adapter copies chosen containers to the cloud. What the cloud has not acknowledged waits in the outbox on disk."),
      this.trouble, this.body);
    this._end = follow(ctx, (stack, history, trouble) => this.take(stack, history, trouble));
  }

  end() { this._end(); }

  take(stack, history, trouble) {
    const { ctx } = this;
    const sync = stack?.sync || {};
    const away = stack?.adapter.state === "down" ? `The adapter does not answer: ${stack.adapter.trouble}` : "";
    this.say(trouble || away || sync.trouble);
    if (!stack) return;
    if (stack.adapter.state === "off" || (stack.adapter.state === "up" && (!sync.cloud || sync.cloud === "off"))) {
      ctx.replace(this.body, stack.adapter.state === "off" ? noAdapter(ctx) : ctx.el("div", { class: "card empty" }, "The adapter copies nothing to a cloud: start it with --cloud."));
      this._gone = true;
      return;
    }
    if (this._gone) {
      ctx.replace(this.body, this.figures, this.charts, this.list);
      this._gone = false;
    }
    if (!sync.cloud) return;
    this.numbers(sync, history);
    this.draw(history);
    this.rows(sync.containers || []);
  }

  say(words) {
    if (words === this._said) return;
    this._said = words;
    this.ctx.replace(this.trouble, words ? note(this.ctx, words, "bad") : null);
  }

  numbers(sync, history) {
    const { ctx } = this;
    const { el } = ctx;
    const figure = (id, label, value, more) => el("div", { class: "card", id }, el("span", { class: "label" }, label), el("span", { class: "figure" }, value), more ? el("p", { class: "muted" }, more) : null);
    const last = history.at(-1);
    const first = history.find(one => last && one[0] >= last[0] - RATE_S);
    const rate = last && first && last[0] > first[0] ? Math.max(0, (last[3] - first[3]) / (last[0] - first[0])) : 0;
    const kept = [sync.dropped ? `${sync.dropped} dropped for want of room` : "", sync.refused ? `${sync.refused} refused by the cloud` : ""].filter(Boolean).join(", ");
    ctx.replace(this.figures,
      figure("sync-cloud", "cloud", badge(ctx, sync.cloud), sync.paused ? "paused: the outbox is full" : ""),
      figure("sync-pending", "instances that wait", sync.pending.toLocaleString("en"), bytes(sync.outbox_bytes)),
      figure("sync-lag", "behind", sync.pending ? seconds(sync.oldest_pending_s) : "0 s"),
      figure("sync-rate", "copied per second", `${perSecond(rate)}/s`, `${sync.forwarded.toLocaleString("en")} in all`),
      kept ? figure("sync-lost", "not copied", String(sync.dropped + sync.refused), kept) : null);
  }

  draw(history) {
    const newest = history.at(-1);
    if (!newest || newest[0] === this._known) return;
    this._known = newest[0];
    this.waiting.set(history.map(([at, pending]) => ({ t: at * 1000, values: { waiting: pending } })));
    this.behind.set(history.map(([at, , oldest]) => ({ t: at * 1000, values: { seconds: oldest } })));
  }

  rows(containers) {
    const sign = JSON.stringify(containers.map(one => [one.path, one.pending, Math.round(one.oldest_pending_s), one.forwarded, one.trouble]));
    if (sign === this._tabled) return;
    this._tabled = sign;
    const { ctx } = this;
    const sorted = [...containers].sort((a, b) => b.pending - a.pending || a.path.localeCompare(b.path, undefined, { numeric: true }));
    ctx.replace(this.list, ctx.el("h2", null, `Containers that are copied: ${containers.length}`),
      table(ctx, "Containers", ["container", { title: "waiting", number: true }, { title: "behind", number: true }, { title: "copied", number: true }, "trouble"],
        sorted.slice(0, 300).map(one => [one.path, String(one.pending), one.pending ? seconds(one.oldest_pending_s) : "0 s", one.forwarded.toLocaleString("en"), one.trouble]), "no container is copied yet"));
  }
}

export default {
  id: "sync",
  title: "Cloud sync",
  roles: null,
  mount(root, ctx) {
    const view = new Sync(root, ctx);
    return () => view.end();
  },
};
