// The request inspector: every primitive over every binding, why it was granted or denied, as lines to paste, once more.
import { clock } from "../dom.js";

const KEPT = 1000;
const SHOWN = 150;
const OPERATIONS = ["", "CREATE", "RETRIEVE", "UPDATE", "DELETE", "NOTIFY"];
const DENIED = new Set([4103, 4106, 4107]);

const operation = record => {
  const primitive = record.request;
  return primitive.op === 2 && primitive.fc?.fu === 1 ? "DISCOVER" : OPERATIONS[primitive.op] || String(primitive.op);
};
/** What a CREATE makes, as its root element says: cin, cnt, ae, ... */
const kind = ({ ty, pc }) => (ty ? Object.keys(pc || {})[0]?.replace(/^m2m:/, "") || `ty ${ty}` : "");
const succeeded = record => record.response.rsc < 4000;

class Requests {
  constructor(root, ctx) {
    this.ctx = ctx;
    this.records = [];
    this.rows = new Map();
    this.dropped = 0;
    this.held = false;
    this.chosen = null;
    const { el, replace } = ctx;
    const filter = (id, label, control) => el("div", { class: "field" }, el("label", { for: id }, label), control);
    const changed = { input: () => this.draw(true), change: () => this.draw(true) };
    this.words = el("input", { id: "filter-words", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "originator, address, code …", on: changed });
    this.binding = el("select", { id: "filter-binding", on: changed }, el("option", { value: "" }, "all"), [["http", "HTTP"], ["mqtt", "MQTT"], ["coap", "CoAP"], ["ws", "WebSocket"], ["console", "console"]].map(([value, name]) => el("option", { value }, name)));
    this.failed = el("input", { id: "filter-failed", type: "checkbox", on: changed });
    this.hold = el("button", { type: "button", "aria-pressed": "false", on: { click: () => this.toggle() } }, "Hold");
    this.status = el("p", { class: "muted small", role: "status" });
    this.body = el("tbody");
    this.panel = el("section", { class: "card", "aria-label": "Request", id: "request" }, el("p", { class: "empty" }, "Choose a request to see what was asked and answered, and why."));
    replace(root, el("h1", null, "Requests"),
      el("p", { class: "lead" }, "What comes in over every binding while this page is open. Choose one to see why it was granted or denied."),
      el("div", { class: "bar" }, filter("filter-words", "Find", this.words), filter("filter-binding", "Binding", this.binding),
        el("label", { class: "check" }, this.failed, "Only what failed"), this.hold,
        el("button", { type: "button", on: { click: () => this.clear() } }, "Clear")),
      el("div", { class: "split wide-first" },
        el("section", { class: "card", "aria-label": "Requests" }, this.status,
          el("div", { class: "scroll list", tabindex: "0", role: "region", "aria-label": "List of requests" },
            el("table", { class: "log" }, el("caption", { class: "only-read" }, "Requests, newest first"),
              el("thead", null, el("tr", null, ["Time", "Code", "Operation", "To", "Originator", "ms", "Binding"].map((title, at) =>
                el("th", { scope: "col", class: at === 5 ? "number" : null }, title)))), this.body))),
        this.panel));
  }

  async start() {
    const found = await this.ctx.api("requests");
    const all = new Map([...found.records, ...this.records].map(record => [record.number, record]));
    this.records = [...all.values()].sort((a, b) => b.number - a.number).slice(0, KEPT);
    this.draw(true);
  }

  add(record) {
    if (this.held || this.records.some((known, at) => at < 20 && known.number === record.number)) return;
    this.records.unshift(record);
    if (this.records.length > KEPT) this.records.length = KEPT;
    if (this.waiting) return;
    this.waiting = setTimeout(() => { this.waiting = 0; this.draw(); }, 200);
  }

  toggle() {
    this.held = !this.held;
    this.hold.setAttribute("aria-pressed", String(this.held));
    this.draw();
  }

  clear() {
    this.records = [];
    this.dropped = 0;
    this.draw(true);
  }

  wanted(record) {
    if (this.failed.checked && succeeded(record)) return false;
    if (this.binding.value && !record.binding.startsWith(this.binding.value)) return false;
    const words = this.words.value.trim().toLowerCase();
    if (!words) return true;
    const { request, response } = record;
    return `${request.fr} ${request.to} ${response.rsc} ${operation(record)} ${request.rqi} ${response.pc?.["m2m:dbg"] || ""}`.toLowerCase().includes(words);
  }

  draw() {
    const shown = this.records.filter(record => this.wanted(record)).slice(0, SHOWN);
    const keep = new Set(shown.map(record => record.number));
    for (const [number, row] of this.rows) if (!keep.has(number)) { row.remove(); this.rows.delete(number); }
    let next = this.body.firstChild;
    for (const record of shown) {
      let row = this.rows.get(record.number);
      if (!row) {
        row = this.row(record);
        this.rows.set(record.number, row);
      }
      if (row !== next) this.body.insertBefore(row, next);
      else next = next.nextSibling;
    }
    const more = this.dropped ? `, ${this.dropped} came too fast to be shown` : "";
    this.status.textContent = this.records.length
      ? `${this.records.length === 1 ? "1 request" : `${this.records.length} requests`}${this.held ? " (held)" : ""}, ${shown.length} shown${more}`
      : "Nothing came yet. Requests are recorded while a console is open.";
  }

  row(record) {
    const { el } = this.ctx;
    const { request, response } = record;
    const open = el("button", { type: "button", class: "quiet time", "aria-label": `${operation(record)} ${request.to} by ${request.fr || "nobody"}: ${response.rsc}` }, clock(record.at));
    return el("tr", { class: "selectable", dataset: { number: record.number }, "aria-selected": String(this.chosen === record.number), on: { click: () => this.choose(record) } },
      el("td", null, open), el("td", null, code(el, record)),
      el("td", null, operation(record), request.ty ? el("span", { class: "muted" }, ` ${kind(request)}`) : null),
      el("td", { class: "mono to" }, request.to), el("td", null, request.fr || "–"),
      el("td", { class: "number" }, record.milliseconds.toFixed(1)), el("td", null, record.binding));
  }

  choose(record) {
    this.chosen = record.number;
    for (const [number, row] of this.rows) row.setAttribute("aria-selected", String(number === record.number));
    this.show(record);
  }

  show(record) {
    const { el, replace, ctx } = { ...this.ctx, ctx: this.ctx };
    const { request, response } = record;
    const decision = el("div", { id: "decision" });
    const lines = el("div");
    const result = el("div", { role: "status" });
    const explained = ctx.may("admin") || request.fr === ctx.settings.session.originator;
    const facts = [["Originator", request.fr || "none"], ["Proved by", record.credential || (record.binding === "console" ? "the console" : "nothing")],
      ["From", record.address || "–"], ["Binding", record.binding], ["Took", `${record.milliseconds} ms`], ["At", new Date(record.at * 1000).toLocaleString()]];
    replace(this.panel,
      el("div", { class: "row" }, el("h2", null, `${operation(record)} ${request.to}`), code(el, record)),
      response.pc?.["m2m:dbg"] ? el("p", { class: "error", id: "debug" }, response.pc["m2m:dbg"]) : null,
      el("div", { class: "row actions" },
        !explained ? null : el("button", { type: "button", id: "why", on: { click: () => this.explain(record, decision) } }, "Why?"),
        el("button", { type: "button", id: "copy", disabled: !record.whole, on: { click: () => this.copies(record, lines) } }, "Copy as …"),
        ctx.may("operator") ? el("button", { type: "button", id: "replay", disabled: !record.whole, on: { click: () => this.replay(record, result) } }, "Send again") : null,
        ctx.may("admin") && !ctx.settings.session.proved && request.fr !== ctx.settings.session.originator
          ? el("label", { class: "check" }, el("input", { type: "checkbox", id: "as-original", checked: true }), `as ${request.fr || "nobody"}`) : null),
      record.whole ? null : el("p", { class: "muted small" }, "Its content is too large to keep, or about more than you may RETRIEVE."),
      result, decision, lines,
      el("table", { class: "pairs" }, el("caption", { class: "only-read" }, "Facts"), el("tbody", null, facts.map(([name, text]) => el("tr", null, el("th", { scope: "row" }, name), el("td", null, text))))),
      el("h3", null, "Request"), pretty(el, request, "Request primitive"),
      el("h3", null, "Response"), pretty(el, response, "Response primitive"));
    if (explained && DENIED.has(response.rsc)) this.explain(record, decision);
  }

  async explain(record, place) {
    const { el, replace } = this.ctx;
    try {
      const found = await this.ctx.api(`explain?number=${record.number}`);
      const who = found.originator || "An unknown originator";
      const verdict = found.granted === null ? "Nothing is decided here." : `${who} ${found.granted ? "may" : "may not"} ${found.privilege} here, as the rules are now.`;
      replace(place, el("div", { class: `verdict ${found.granted === null ? "" : found.granted ? "good" : "bad"}` },
        el("strong", null, verdict),
        el("p", { id: "because" }, found.because),
        found.ruledBy ? el("p", { class: "muted small" }, "Decided at ", el("code", null, found.ruledBy)) : null,
        found.rules.length ? el("table", null, el("caption", { class: "only-read" }, "Rules that were looked at"),
          el("thead", null, el("tr", null, el("th", { scope: "col" }, "Policy"), el("th", { scope: "col" }, "Rule"), el("th", { scope: "col" }, "Says"))),
          el("tbody", null, found.rules.map(rule => el("tr", null, el("td", { class: "mono" }, rule.policy), el("td", null, rule.number),
            el("td", null, el("span", { class: `badge ${rule.grants ? "good" : ""}` }, rule.grants ? "grants" : "does not grant"), " ", rule.reason))))) : null));
      this.ctx.announce(found.because);
    } catch (error) {
      replace(place, el("p", { class: "error" }, error.message));
    }
  }

  async copies(record, place) {
    const { el, replace } = this.ctx;
    try {
      const found = await this.ctx.api(`copies?number=${record.number}`);
      replace(place, Object.entries(found).map(([tool, text]) => {
        const done = el("span", { class: "muted small", role: "status" });
        return el("div", { class: "copy" }, el("div", { class: "row" }, el("h3", null, tool),
          el("button", { type: "button", class: "quiet", "aria-label": `Copy for ${tool}`, on: { click: async () => {
            try { await navigator.clipboard.writeText(text); done.textContent = "copied"; } catch { done.textContent = "mark it and press Ctrl+C"; }
          } } }, "Copy"), done), pretty(el, text, tool));
      }));
    } catch (error) {
      replace(place, el("p", { class: "error" }, error.message));
    }
  }

  async replay(record, place) {
    const { el, replace } = this.ctx;
    const original = this.panel.querySelector("#as-original")?.checked;
    try {
      const { request, response } = await this.ctx.api("replay", { body: { number: record.number, ...(original ? { as: "original" } : {}) } });
      const words = response.pc?.["m2m:dbg"];
      replace(place, el("p", { class: response.rsc < 4000 ? "note good" : "note bad", id: "replayed" },
        `Sent again as ${request.fr || "nobody"}: ${response.rsc}${words ? `, ${words}` : ""}`));
    } catch (error) {
      replace(place, el("p", { class: "note bad", id: "replayed" }, error.message));
    }
  }
}

function code(el, record) {
  const { rsc } = record.response;
  return el("span", { class: `badge ${succeeded(record) ? "good" : rsc < 5000 ? "warn" : "bad"}` }, rsc);
}

function pretty(el, value, label) {
  return el("pre", { class: label === "Python" ? "code" : null, tabindex: "0", "aria-label": label, role: "region" }, typeof value === "string" ? value : JSON.stringify(value, null, 2));
}

export default {
  id: "requests",
  title: "Requests",
  roles: ["viewer", "operator", "admin"],
  mount(root, ctx) {
    const requests = new Requests(root, ctx);
    const add = event => requests.add(event.detail);
    const dropped = event => { requests.dropped += event.detail.dropped; };
    ctx.live.addEventListener("request", add);
    ctx.live.addEventListener("dropped", dropped);
    requests.start().catch(error => root.append(ctx.el("p", { class: "error", role: "alert" }, error.message)));
    return () => {
      ctx.live.removeEventListener("request", add);
      ctx.live.removeEventListener("dropped", dropped);
      clearTimeout(requests.waiting);
    };
  },
};
