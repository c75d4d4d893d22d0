// The resource tree: children are read when somebody looks, values move as they come.
import { brief } from "../dom.js";
import { details } from "../details.js";
import { attributesOf, childrenOf, holdsValues, refusal, types } from "../types.js";

const FLEX = 28;
/** What every resource has: not what a flexContainer says. */
const COMMON = new Set(["rn", "ty", "ri", "pi", "ct", "lt", "et", "st", "lbl", "acpi", "cnd", "or", "cr", "cs", "at", "aa", "nl", "loc", "daci", "dr", "mni", "mbs", "mia", "cni", "cbs", "fcied", "cstn"]);
const shows = ty => holdsValues(ty) || ty === FLEX;
/** What a flexContainer says: its own attributes. */
const saysNow = attributes => Object.entries(attributes).filter(([name]) => !COMMON.has(name)).map(([name, value]) => `${name} ${brief(value, 12)}`).join(", ");

const PAGE = 200;
const WATCHED = 200;

class Tree {
  constructor(root, ctx) {
    this.ctx = ctx;
    this.nodes = new Map();  // address -> node
    this.selected = null;
    this.aborted = new AbortController();
    const { el } = ctx;
    this.list = el("ul", { role: "tree", "aria-label": "Resources", on: { keydown: event => this.key(event), click: event => this.click(event) } });
    this.side = el("section", { class: "card side tree", "aria-label": "Resource tree" }, this.list);
    this.panel = el("section", { class: "card", "aria-label": "Selected resource", id: "details" });
    ctx.replace(root, el("h1", null, "Resource tree"),
      el("p", { class: "lead" }, "Every resource you may see, with the newest values as they arrive."),
      el("div", { class: "split" }, this.side, this.panel));
  }

  async start() {
    this.types = await types(this.ctx);
    this.plain = Object.entries(this.types).filter(([, one]) => !one.instance).map(([number]) => Number(number));
    const { name } = this.ctx.settings.session.cse;
    const base = this.node(name, name, 5, null);
    this.list.append(base.item);
    base.item.tabIndex = 0;
    await this.open(base);
    const wanted = this.ctx.params.get("to") || name;
    await this.reveal(wanted);
  }

  node(address, name, ty, parent) {
    const { el } = this.ctx;
    const depth = parent ? parent.depth + 1 : 0;
    const value = el("span", { class: "value" });
    const mayOpen = (this.types[ty]?.children || []).some(child => this.types[child] && !this.types[child].instance);
    const line = el("div", { class: "node", style: null },
      el("span", { class: "twist", "aria-hidden": "true" }, mayOpen ? "▶" : ""),
      el("span", { class: "name" }, name), el("span", { class: "kind" }, this.types[ty]?.name || `type ${ty}`), value);
    line.style.setProperty("--depth", depth);
    const item = el("li", { role: "treeitem", tabindex: "-1", "aria-level": depth + 1, "aria-selected": "false", "aria-expanded": mayOpen ? "false" : null, dataset: { to: address } }, line);
    const node = { address, name, ty, parent, depth, item, value, group: null, children: [], offset: 1, mayOpen, more: null };
    item.node = node;
    this.nodes.set(address, node);
    return node;
  }

  async open(node) {
    if (!node.mayOpen) return;
    node.item.setAttribute("aria-expanded", "true");
    if (!node.group) {
      node.group = this.ctx.el("ul", { role: "group" });
      node.item.append(node.group);
      await this.load(node);
    }
    node.group.hidden = false;
    this.watch();
  }

  close(node) {
    if (node.item.getAttribute("aria-expanded") !== "true") return;
    node.item.setAttribute("aria-expanded", "false");
    node.group.hidden = true;
    this.watch();
  }

  async load(node) {
    const answer = await this.ctx.ask(childrenOf(node.address, this.plain, node.offset, PAGE), this.aborted.signal);
    const words = refusal(answer);
    const found = words ? [] : answer.pc?.["m2m:rrl"]?.rrf || [];
    node.more?.item.remove();
    node.more = null;
    for (const one of found) if (!this.nodes.has(one.val)) this.append(node, one.val, one.nm, one.typ);
    node.offset += found.length;
    if (answer.cnst === 1) node.more = this.extra(node, `Show more children of ${node.name} …`, () => this.load(node));
    else if (words) this.extra(node, words, () => {});
    else if (!node.children.length) {
      node.item.removeAttribute("aria-expanded");
      node.item.querySelector(".twist").textContent = "";
    }
    this.fetchValues(found.filter(one => shows(one.typ)).map(one => this.nodes.get(one.val)));
    this.watch();
  }

  append(parent, address, name, ty) {
    const child = this.node(address, name, ty, parent);
    parent.children.push(child);
    if (parent.more) parent.more.item.before(child.item);
    else parent.group.append(child.item);
    parent.item.setAttribute("aria-expanded", parent.group.hidden ? "false" : "true");
    parent.item.querySelector(".twist").textContent = "▶";
    return child;
  }

  extra(parent, words, act) {
    const { el } = this.ctx;
    const line = el("div", { class: "node" }, el("span", { class: "twist" }), el("span", { class: "name muted" }, words));
    line.style.setProperty("--depth", parent.depth + 1);
    const item = el("li", { role: "treeitem", tabindex: "-1", "aria-level": parent.depth + 2, "aria-selected": "false" }, line);
    item.act = act;
    parent.group.append(item);
    return { item };
  }

  // --- values -----------------------------------------------------------------------------------------------------

  async fetchValues(nodes) {
    const waiting = nodes.slice(0, WATCHED);
    const work = async () => {
      for (let node = waiting.shift(); node; node = waiting.shift()) {
        try {
          const flex = node.ty === FLEX;
          const answer = await this.ctx.ask({ op: 2, to: flex ? node.address : `${node.address}/la` }, this.aborted.signal);
          if (!refusal(answer)) this.setValue(node, flex ? saysNow(attributesOf(answer.pc)) : attributesOf(answer.pc).con, false);
        } catch { return; }
      }
    };
    await Promise.all([work(), work(), work(), work()]);
  }

  setValue(node, value, isNew = true) {
    if (value === undefined) return;
    node.value.textContent = brief(value, 40);
    node.value.title = brief(value, 300);
    if (!isNew) return;
    node.value.classList.remove("flash");
    requestAnimationFrame(() => node.value.classList.add("flash"));
  }

  watch() {
    const seen = this.shownItems().filter(item => item.node).map(item => item.node);
    const first = seen.filter(node => node === this.selected || shows(node.ty) || node.item.getAttribute("aria-expanded") === "true");
    this.ctx.live.watch(first.slice(0, WATCHED).map(node => node.address));
  }

  changed({ to, net, rep }) {
    const node = this.nodes.get(to);
    if (!node) return;
    const attributes = attributesOf(rep);
    const instance = this.types[attributes.ty]?.instance;
    if (net === 2) return this.remove(node);
    if (net === 1 && node.ty === FLEX) this.setValue(node, saysNow(attributes));
    if (net === 3 && instance) this.setValue(node, attributes.con);
    else if (net === 3 && node.group && !node.more) {
      const address = `${node.address}/${attributes.rn}`;
      if (!this.nodes.has(address)) this.append(node, address, attributes.rn, attributes.ty);
      this.watch();
    } else if (net === 3 && !node.group && node.mayOpen) {
      node.item.setAttribute("aria-expanded", "false");
    } else if (net === 4 && !instance) this.remove(this.nodes.get(`${node.address}/${attributes.rn}`));
    if (node === this.selected) this.shown?.changed(net, attributes, instance);
  }

  remove(node) {
    if (!node || !node.parent) return;
    node.parent.children = node.parent.children.filter(child => child !== node);
    if (node.item.contains(document.activeElement)) this.focus(node.parent.item);
    node.item.remove();
    for (const address of [...this.nodes.keys()]) if (address === node.address || address.startsWith(`${node.address}/`)) this.nodes.delete(address);
    if (this.selected && !this.nodes.has(this.selected.address)) this.select(node.parent);
  }

  // --- selection and keys -----------------------------------------------------------------------------------------

  async reveal(address) {
    const base = this.ctx.settings.session.cse.name;
    const parts = address.split("/");
    let node = this.nodes.get(base);
    for (let depth = 2; depth <= parts.length && parts[0] === base; depth++) {
      await this.open(node);
      const next = parts.slice(0, depth).join("/");
      if (!this.nodes.has(next) && node.group) {
        const answer = await this.ctx.ask({ op: 2, to: next }, this.aborted.signal);
        if (refusal(answer)) break;
        this.append(node, next, parts[depth - 1], attributesOf(answer.pc).ty);
      }
      node = this.nodes.get(next) || node;
    }
    this.select(node);
    this.focus(node.item, false);
    node.item.scrollIntoView({ block: "nearest" });
  }

  select(node) {
    if (this.selected) this.selected.item.setAttribute("aria-selected", "false");
    this.selected = node;
    node.item.setAttribute("aria-selected", "true");
    const address = `#/tree?to=${encodeURIComponent(node.address)}`;
    if (location.hash !== address) history.replaceState(null, "", address);
    this.shown?.end();
    this.shown = details(this.panel, this.ctx, node, this.types, () => this.open(node));
    this.watch();
  }

  shownItems() {
    return [...this.list.querySelectorAll("[role=treeitem]")].filter(item => !item.parentElement.closest("ul[hidden]"));
  }

  focus(item, really = true) {
    for (const other of this.list.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    item.tabIndex = 0;
    if (really) item.focus();
  }

  async act(item) {
    if (item.act) {
      const previous = item.previousElementSibling;
      await item.act();
      if (!item.isConnected && previous) this.focus((previous.nextElementSibling || previous));
      return;
    }
    this.select(item.node);
  }

  click(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item) return;
    this.focus(item);
    const isTwist = event.target.closest(".twist");
    if (item.node?.mayOpen && (isTwist || item.node !== this.selected || item.getAttribute("aria-expanded") !== "true")) {
      if (item.getAttribute("aria-expanded") === "true" && isTwist) this.close(item.node);
      else this.open(item.node);
    } else if (item.node?.mayOpen) this.close(item.node);
    if (!isTwist) this.act(item);
  }

  key(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const items = this.shownItems();
    const at = items.indexOf(item);
    const open = item.getAttribute("aria-expanded") === "true";
    const moves = { ArrowDown: items[at + 1], ArrowUp: items[at - 1], Home: items[0], End: items.at(-1) };
    if (event.key in moves) { if (moves[event.key]) this.focus(moves[event.key]); }
    else if (event.key === "ArrowRight") { if (open && items[at + 1]) this.focus(items[at + 1]); else if (item.node) this.open(item.node); }
    else if (event.key === "ArrowLeft") {
      if (open && item.node) this.close(item.node);
      else { const up = item.parentElement.closest("[role=treeitem]"); if (up) this.focus(up); }
    } else if (event.key === "Enter" || event.key === " ") this.act(item);
    else if (event.key.length === 1) {
      const after = [...items.slice(at + 1), ...items.slice(0, at + 1)];
      const found = after.find(one => one.node?.name.toLowerCase().startsWith(event.key.toLowerCase()));
      if (found) this.focus(found);
    } else return;
    event.preventDefault();
  }
}

export default {
  id: "tree",
  title: "Resource tree",
  roles: ["viewer", "operator", "admin"],
  mount(root, ctx) {
    const tree = new Tree(root, ctx);
    const changed = event => tree.changed(event.detail);
    ctx.live.addEventListener("change", changed);
    tree.start().catch(error => {
      if (error.name !== "AbortError") root.append(ctx.el("p", { class: "error", role: "alert" }, error.message));
    });
    return () => {
      tree.aborted.abort();
      tree.shown?.end();
      ctx.live.removeEventListener("change", changed);
    };
  },
};
