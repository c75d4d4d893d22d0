// Live map: devices, AEs, the CSE, the MEC platform with services and application instances, cloud, applications.
import { badge, follow, note, perSecond, seconds, table } from "../stack.js";
import { Picture } from "../map/draw.js";
import { layout } from "../map/layout.js";
import { instances, modelOf } from "../map/model.js";
import { WORDS, palette } from "../map/palette.js";
import { Traffic } from "../map/traffic.js";

const NARROW = 700;
const REDRAW_MS = 500;
const FLIGHT_MS = 800;
const FLYING = 80;
/** what was seen stays known while the page is open */
const seen = new Traffic();

const seconds_now = () => performance.now() / 1000;

/** Everything of a model that changes the picture itself and not only its figures. */
function signature(model, narrow, dark) {
  const still = { ...model, cloud: model.cloud && { ...model.cloud, sync: model.cloud.sync && model.cloud.sync.cloud } };
  return JSON.stringify([still, narrow, dark]);
}

class MapView {
  constructor(root, ctx) {
    this.ctx = ctx;
    this.stack = null;
    this.model = null;
    this.picture = null;
    this.opened = "";
    this._drawn = "";
    this._flights = new Set();
    this._byMember = new Map();
    this._states = new Map();
    const { el } = ctx;
    this._still = matchMedia("(prefers-reduced-motion: reduce)");
    this._dark = matchMedia("(prefers-color-scheme: dark)");
    this.place = el("div", { class: "map-place" });
    this.trouble = el("div", null);
    this.side = el("aside", { class: "map-side card", hidden: true, "aria-label": "Details", tabindex: "-1", on: { keydown: event => { if (event.key === "Escape") this.close(); } } });
    this.list = el("div", null);
    this.save = el("button", { type: "button", on: { click: () => this.export() } }, "Export as SVG");
    const words = el("details", { class: "card map-table" }, el("summary", null, "The map as tables"), this.list);
    words.addEventListener("toggle", () => this.tables());
    this.words = words;
    root.append(
      el("div", { class: "row map-bar" }, el("h1", null, "Live map"), el("span", { class: "space" }), this.save),
      el("p", { class: "lead" }, "Lines are lit by what flows now. Choose a part to see what it is."),
      this.trouble, this.place, this.side, words);
    this._size = new ResizeObserver(() => this.draw());
    this._size.observe(this.place);
    this._scheme = () => this.draw();
    this._dark.addEventListener("change", this._scheme);
    this._request = event => this.request(event.detail);
    this._delivery = event => this.delivery(event.detail);
    ctx.live.addEventListener("request", this._request);
    ctx.live.addEventListener("delivery", this._delivery);
    this._tick = setInterval(() => this.tick(), REDRAW_MS);
    this._end = follow(ctx, (stack, history, trouble) => this.take(stack, trouble));
  }

  end() {
    this._end();
    clearInterval(this._tick);
    this._size.disconnect();
    this._dark.removeEventListener("change", this._scheme);
    this.ctx.live.removeEventListener("request", this._request);
    this.ctx.live.removeEventListener("delivery", this._delivery);
    cancelAnimationFrame(this._frame);
  }

  // --- what happens --------------------------------------------------------------------------------------------------

  take(stack, trouble) {
    const { ctx } = this;
    ctx.replace(this.trouble, trouble ? note(ctx, `The stack cannot be looked at: ${trouble}`, "bad") : null);
    if (!stack) return;
    this.stack = stack;
    if (stack.sync.cloud) seen.total("forwarded", stack.sync.forwarded, stack.at);
    seen.total("mp1", stack.mp1Sent, stack.at);
    this.tell(stack);
    this.draw();
    if (this.opened) this.details();
    this.tables();
  }

  /** Say to those who cannot see it that an AE changed its state. */
  tell(stack) {
    const changed = [];
    for (const one of stack.exposed) {
      const before = this._states.get(one.ae);
      if (before && before !== one.state && one.state) changed.push(`${one.ae.split("/").pop()} is ${one.state}`);
      this._states.set(one.ae, one.state);
    }
    if (changed.length) this.ctx.announce(changed.slice(0, 3).join(", "));
  }

  request(record) {
    const who = seen.request(record, seconds_now());
    const edge = this._byMember.get(who);
    if (edge) this.fly(edge, edge !== "mca");
  }

  delivery(record) {
    const subscription = seen.delivery(record, seconds_now());
    const edge = this._byMember.get(subscription) || this._byMember.get(`to ${String(record.receiver).split("/").pop()}`);
    if (edge) this.fly(edge, true);
  }

  tick() {
    if (!this.stack) return;
    this.draw();
    this.picture.update(seen, seconds_now());
  }

  // --- the picture ---------------------------------------------------------------------------------------------------

  draw() {
    if (!this.stack) return;
    const narrow = this.place.clientWidth > 0 && this.place.clientWidth < NARROW;
    const model = modelOf(this.stack, seen);
    const sign = signature(model, narrow, this._dark.matches);
    this.model = model;
    if (sign === this._drawn) {
      if (this.picture) this.picture.model = model;
      return;
    }
    this._drawn = sign;
    const focused = document.activeElement?.closest?.(".map-part")?.dataset.id;
    this.picture = new Picture(this.ctx, model, layout(model, narrow), palette(this._dark.matches), id => this.show(id));
    this._byMember.clear();
    this._flights.clear();
    for (const edge of model.edges) {
      for (const aei of edge.members || []) this._byMember.set(aei, edge.id);
      for (const ri of edge.notifies?.subscriptions || []) this._byMember.set(ri, edge.id);
      if (edge.notifies) this._byMember.set(`to ${edge.notifies.aei}`, edge.id);
    }
    this.ctx.replace(this.place, this.picture.svg);
    this.place.classList.toggle("narrow", narrow);
    // A small stack is not blown up.
    if (!narrow) this.picture.svg.style.maxWidth = `${Math.round(this.picture.plan.width * 1.2)}px`;
    this.picture.update(seen, seconds_now());
    if (focused) this.find(focused)?.focus({ preventScroll: true });
  }

  find(id) { return [...this.place.querySelectorAll(".map-part")].find(one => one.dataset.id === id); }

  /** A dot runs along an edge: one request, or one notification. */
  fly(edge, forward) {
    if (this._still.matches || this._flights.size >= FLYING || document.hidden) return;
    const path = this.picture?.pathOf(edge);
    if (!path) return;
    const dot = this.ctx.el("svg:circle", { r: 3.6, fill: path.getAttribute("stroke"), "aria-hidden": "true" });
    this.picture.flow.append(dot);
    this._flights.add({ dot, path, length: path.getTotalLength(), begin: performance.now(), forward });
    if (this._flights.size === 1) this._frame = requestAnimationFrame(now => this.move(now));
  }

  move(now) {
    for (const flight of this._flights) {
      const share = Math.max(0, (now - flight.begin) / FLIGHT_MS);
      if (share >= 1) {
        flight.dot.remove();
        this._flights.delete(flight);
        continue;
      }
      const at = flight.path.getPointAtLength(flight.length * (flight.forward ? share : 1 - share));
      flight.dot.setAttribute("cx", at.x);
      flight.dot.setAttribute("cy", at.y);
      flight.dot.setAttribute("fill", flight.path.getAttribute("stroke"));
    }
    if (this._flights.size) this._frame = requestAnimationFrame(next => this.move(next));
  }

  /** Save the picture: it needs nothing of this page. */
  export() {
    if (!this.model) return;
    // Wide, whatever the window is: it goes into a document.
    const picture = new Picture(this.ctx, this.model, layout(this.model, false), palette(this._dark.matches), () => {});
    picture.update(seen, seconds_now());
    const copy = picture.svg;
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", picture.plan.width);
    copy.setAttribute("height", picture.plan.height);
    copy.setAttribute("role", "img");
    for (const node of [copy, ...copy.querySelectorAll("*")]) {
      for (const name of ["tabindex", "class", "cursor", "data-id", "aria-label"]) node.removeAttribute(name);
      if (node.getAttribute("role") === "button") node.removeAttribute("role");
    }
    const title = this.ctx.el("svg:title", null, `onemec: the stack of ${this.stack.cse.id}, ${new Date(this.stack.at * 1000).toISOString()}`);
    copy.prepend(title);
    const text = `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(copy)}\n`;
    const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    const link = this.ctx.el("a", { href: url, download: `onemec-${this.stack.cse.name}.svg` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    this.ctx.announce("The picture is saved.");
  }

  // --- details -------------------------------------------------------------------------------------------------------

  show(id) {
    this.opened = id;
    this.details();
    this.side.hidden = false;
    this.side.focus({ preventScroll: true });
  }

  close() {
    const id = this.opened;
    this.opened = "";
    this.side.hidden = true;
    this.find(id)?.focus({ preventScroll: true });
  }

  details() {
    const { el, replace } = this.ctx;
    const found = this.describe(this.opened) || { title: "It is gone", pairs: [] };
    const sign = JSON.stringify([this.opened, found], (key, value) => (value instanceof Node ? value.textContent : value));
    if (sign === this._detailed) return;
    this._detailed = sign;
    const hadFocus = this.side.contains(document.activeElement) && document.activeElement !== this.side;
    const closing = el("button", { type: "button", class: "quiet", on: { click: () => this.close() } }, "Close");
    replace(this.side,
      el("div", { class: "row" }, el("h2", null, found.title), el("span", { class: "space" }), closing),
      found.words ? el("p", { class: "muted" }, found.words) : null,
      el("table", { class: "pairs" }, el("tbody", null, found.pairs.filter(pair => pair && pair[1] !== "" && pair[1] != null).map(([name, value]) =>
        el("tr", null, el("th", { scope: "row" }, name), el("td", null, value))))),
      found.more || null);
    if (hadFocus) closing.focus({ preventScroll: true });
  }

  describe(id) {
    const { stack, model, ctx } = this;
    const now = seconds_now();
    const kind = id.split(":")[0];
    if (id === "cse") {
      return { title: `CSE ${stack.cse.id}`, pairs: [["type", `${stack.cse.type}-CSE`], ["name", stack.cse.name], ["bindings", stack.cse.bindings.map(one => WORDS[one]).join(", ")], ["AEs", String(stack.aeCount)], ["registrar", stack.cse.registrar], ["registered", stack.cse.registrar ? badge(ctx, stack.cse.registered ? "registered" : "no answer") : ""], ["other CSEs", stack.cse.others.join(", ")]] };
    }
    if (id === "adapter" && model.adapter) {
      const one = model.adapter;
      return { title: "MEC adapter", pairs: [["state", badge(ctx, one.state)], ["trouble", one.trouble || one.mp1Trouble], ["address", one.address], ["Mp1", one.mp1 ? badge(ctx, one.mp1) : ""], ["profile", one.profile], ["appInstanceId", one.app_instance_id], ["mirrored", one.mirrored ? `${one.mirrored} MEC services in the oneM2M tree` : ""]] };
    }
    if (id === "platform" && model.platform) {
      const one = model.platform;
      return { title: "MEC platform", pairs: [["apiRoot", one.apiRoot], ["trouble", one.trouble || (one.reached ? "" : "the adapter, who asks it, does not answer")], ["services", String(one.serviceCount ?? "")], ["instances", String(one.instances.length)]], more: ctx.el("p", null, ctx.el("a", { href: "#/mec" }, "All of the registry")) };
    }
    if (id === "cloud" && model.cloud) {
      const one = model.cloud, sync = one.sync;
      return { title: `Cloud CSE ${one.id}`, pairs: [["state", badge(ctx, one.state === "off" ? "" : one.state)], ["trouble", one.trouble || sync?.trouble], ["address", one.address], ["registered", badge(ctx, one.registered ? "registered" : "no answer")], ["waits", sync ? `${sync.pending} instances` : ""], ["lag", sync ? seconds(sync.oldest_pending_s) : ""], ["copied", sync ? String(sync.forwarded) : ""]], more: sync ? ctx.el("p", null, ctx.el("a", { href: "#/sync" }, "The cloud sync")) : null };
    }
    if (kind === "remote") return { title: `CSE ${id.slice(7)}`, pairs: [["what", "a CSE that is registered here"]] };
    if (kind === "group") {
      const group = model.groups.find(one => one.id === id);
      if (!group) return null;
      return { title: group.kind || "AEs", words: `${group.members.length} over ${WORDS[group.binding]}`, pairs: [], more: table(ctx, "Members", ["AE", "state"], group.members.slice(0, 200).map(ae => [ctx.el("button", { type: "button", class: "quiet", on: { click: () => this.show(ae.id) } }, ae.name), ae.state ? badge(ctx, ae.state) : "not exposed"])) };
    }
    if (kind === "service") {
      const one = (stack.platform.services || []).find(service => `service:${service.id}` === id);
      return one && { title: one.name, words: "MEC service", pairs: [["state", badge(ctx, one.state)], ["category", one.category], ["transport", [one.transport, one.protocol].filter(Boolean).join(", ")], ["endpoint", one.endpoint], ["serializer", one.serializer], ["heartbeat", one.livenessInterval ? `${one.livenessInterval} s` : ""], ["serInstanceId", one.id], ["appInstanceId", one.appInstanceId]] };
    }
    if (kind === "app") {
      const one = instances(stack).find(app => `app:${app.id}` === id);
      return one && { title: one.name, words: "MEC application instance", pairs: [["state", badge(ctx, one.state)], ["phase", one.phase], ["stands for", one.ae ? `AE ${one.ae}` : ""], ["trouble", one.trouble], ["appInstanceId", one.id]] };
    }
    const ae = stack.aes.find(one => `ae:${one.path}` === id);
    if (!ae) return null;
    const shown = stack.exposed.find(one => one.ae === ae.path);
    return { title: ae.name, words: ae.kind ? `${ae.kind} device, an AE` : "AE", pairs: [["AE-ID", ae.aei], ["address", ae.path], ["App-ID", ae.api], ["binding", WORDS[seen.bindingOf(ae.aei)]], ["rate", `${perSecond(seen.rateOf(ae.aei, now))} requests/s`], ["MEC state", shown ? badge(ctx, shown.state || shown.phase) : "not exposed"], ["trouble", shown?.trouble], ["appInstanceId", shown?.app_instance_id], ["reachable", ae.rr === true ? "yes" : ae.rr === false ? "no" : ""], ["poa", ae.poa.join(", ")], ["subscriptions", ae.subscriptions.length ? String(ae.subscriptions.length) : ""], ["labels", ae.labels.join(", ")]] };
  }

  /** The same as tables, for who reads or hears rather than looks. */
  tables() {
    if (!this.words.open || !this.stack) return;
    const { ctx, stack, model } = this;
    const exposed = new Map(stack.exposed.map(one => [one.ae, one]));
    const now = seconds_now();
    const rows = stack.aes.map(ae => [ae.name, ae.kind || ae.role, WORDS[seen.bindingOf(ae.aei)], exposed.has(ae.path) ? badge(ctx, exposed.get(ae.path).state || exposed.get(ae.path).phase) : "not exposed"]);
    const links = model.edges.map(edge => [this.nameOf(edge.from), this.nameOf(edge.to), edge.word || WORDS[edge.binding], edge.down ? "no answer" : `${perSecond(seen.rateOn(edge, now))}/s`]);
    const sign = JSON.stringify([stack.aes, stack.exposed, links]);
    if (sign === this._tabled) return;
    this._tabled = sign;
    ctx.replace(this.list,
      ctx.el("h2", null, "AEs"), table(ctx, "AEs", ["AE", "kind", "binding", "state at the MEC platform"], rows, "no AE is registered"),
      ctx.el("h2", null, "Connections"), table(ctx, "Connections", ["from", "to", "over", { title: "now", number: true }], links));
  }

  nameOf(id) {
    if (id === "cse") return this.stack.cse.id;
    if (id === "cloud") return this.model.cloud.id;
    return id.replace(/^(group|ae|remote):/, "").trim();
  }
}

export default {
  id: "map",
  title: "Live map",
  roles: null,
  mount(root, ctx) {
    const view = new MapView(root, ctx);
    return () => view.end();
  },
};
