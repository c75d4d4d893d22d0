// MEC registry: services, application instances with the AEs they stand for, subscriptions; as the platform shows them.
import { instances } from "../map/model.js";
import { badge, follow, noAdapter, note, table } from "../stack.js";

class Registry {
  constructor(root, ctx) {
    this.ctx = ctx;
    this.words = "";
    this._shown = "";
    const { el } = ctx;
    this.figures = el("div", { class: "figures" });
    this.body = el("div", { class: "stacked" });
    this.search = el("input", { id: "mec-search", type: "search", autocomplete: "off", on: { input: () => { this.words = this.search.value.toLowerCase(); this.draw(); } } });
    root.append(
      el("h1", null, "MEC registry"),
      el("p", { class: "lead" }, "What the MEC platform holds: services, application instances, and who wants to hear of them. The adapter reads it over Mp1."),
      this.figures,
      el("div", { class: "bar" }, el("div", { class: "field" }, el("label", { for: "mec-search" }, "Only with this text"), this.search)),
      this.body);
    this._end = follow(ctx, (stack, history, trouble) => { this.stack = stack; this.trouble = trouble; this.draw(); });
  }

  end() { this._end(); }

  has(...texts) { return !this.words || texts.some(text => String(text ?? "").toLowerCase().includes(this.words)); }

  draw() {
    const { ctx, stack } = this;
    if (!stack) {
      if (this.trouble) ctx.replace(this.body, note(ctx, this.trouble, "bad"));
      return;
    }
    const sign = JSON.stringify([stack.platform, stack.exposed, stack.adapter.state, stack.adapter.mp1, stack.adapter.services, this.words, this.trouble]);
    if (sign === this._shown) return;
    this._shown = sign;
    if (stack.adapter.state === "off") {
      ctx.replace(this.figures);
      ctx.replace(this.body, noAdapter(ctx));
      return;
    }
    const platform = stack.platform || {};
    const services = platform.services || [];
    const apps = instances(stack);
    const { el } = ctx;
    const active = services.filter(one => one.state === "ACTIVE").length;
    const silent = apps.filter(one => one.state === "INACTIVE").length;
    ctx.replace(this.figures,
      this.figure("services ACTIVE", `${active} of ${platform.serviceCount ?? services.length}`),
      this.figure("application instances", String(apps.length)),
      this.figure("INACTIVE instances", String(silent)),
      this.figure("Mp1 of the CSE", badge(ctx, stack.adapter.state === "up" ? stack.adapter.mp1 : "no answer")));
    const trouble = stack.adapter.state === "down" ? `The adapter, who asks the platform, does not answer: ${stack.adapter.trouble}` : platform.trouble || stack.adapter.mp1Trouble;
    ctx.replace(this.body,
      this.trouble ? note(ctx, this.trouble, "bad") : null,
      trouble ? note(ctx, trouble, "bad") : null,
      el("section", { class: "card" }, el("h2", null, "Application instances"), this.apps(apps)),
      el("section", { class: "card" }, el("h2", null, "Services"), this.services(services, platform.serviceCount || 0)),
      el("section", { class: "card" }, el("h2", null, "Subscriptions of the CSE's application instance"), this.subscriptions(platform.subscriptions || [])));
  }

  figure(label, value) { return this.ctx.el("div", { class: "card" }, this.ctx.el("span", { class: "label" }, label), this.ctx.el("span", { class: "figure" }, value)); }

  apps(all) {
    const { ctx } = this;
    const shown = all.filter(one => this.has(one.name, one.ae, one.id, one.state));
    shown.sort((a, b) => (a.state === "INACTIVE" ? 0 : 1) - (b.state === "INACTIVE" ? 0 : 1));
    return table(ctx, "Application instances", ["stands for", "state", "phase", "AE", "appInstanceId"],
      shown.map(one => [one.name, badge(ctx, one.state), one.phase, one.ae ? ctx.el("a", { href: `#/tree?${new URLSearchParams({ to: one.ae })}` }, one.ae) : "", ctx.el("span", { class: "mono" }, one.id)]),
      this.words ? "none with this text" : "no application instance is registered");
  }

  services(all, count) {
    const { ctx } = this;
    const shown = all.filter(one => this.has(one.name, one.category, one.endpoint, one.state, one.id, one.transport));
    return [table(ctx, "Services", ["service", "state", "category", "transport", "endpoint", "serializer", "heartbeat", "appInstanceId"],
      shown.map(one => [one.name, badge(ctx, one.state), one.category, one.transport, ctx.el("span", { class: "mono" }, one.endpoint), one.serializer, one.livenessInterval ? `${one.livenessInterval} s` : "", ctx.el("span", { class: "mono" }, one.appInstanceId)]),
      this.words ? "none with this text" : "no service is registered"),
    count > all.length ? ctx.el("p", { class: "muted" }, `The first ${all.length} of ${count}.`) : null];
  }

  subscriptions(all) {
    const { ctx } = this;
    const names = { mec_service_mgmt: "service availability", mec_app_support: "application termination" };
    return table(ctx, "Subscriptions", ["what", "type", "resource"],
      all.map(one => [names[one.api] || one.api, one.type, ctx.el("span", { class: "mono" }, one.href)]), "none: the platform is polled");
  }
}

export default {
  id: "mec",
  title: "MEC registry",
  roles: null,
  mount(root, ctx) {
    const view = new Registry(root, ctx);
    return () => view.end();
  },
};
