// Draws the map as SVG. Everything is said with presentation attributes, so that the same picture can be saved.
import { outline, perSecond, seconds, toneOf } from "../stack.js";
import { HEAD, ROW, SHAPES, namedInstances, padY, perLine } from "./layout.js";
import { FONT, WORDS } from "./palette.js";

const GRID = 16;
const ICONS = {
  temperature: "M10 13V5a2 2 0 0 1 4 0v8a4 4 0 1 1-4 0zM12 9v7",
  meter: "M4 17a8 8 0 1 1 16 0M12 17l4-6M4 17h16",
  "air-quality": "M3 9h11a3 3 0 1 0-3-3M3 13h15a3 3 0 1 1-3 3M3 17h7",
  actuator: "M8 7h8a5 5 0 0 1 0 10H8A5 5 0 0 1 8 7zM14 12a2 2 0 1 0 4 0a2 2 0 1 0-4 0",
  device: "M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4",
  app: "M4 5h16v14H4zM4 9h16M7 13h6M7 16h9",
  cloud: "M7 18a4 4 0 0 1-.6-8 5.5 5.5 0 0 1 10.6-1.4A4.7 4.7 0 0 1 17 18z",
  platform: "M4 4h16v7H4zM4 13h16v7H4zM8 7.5h.01M8 16.5h.01M12 7.5h5M12 16.5h5",
  adapter: "M4 8h14l-3.5-3.5M20 16H6l3.5 3.5",
  cse: "M12 2.8 20 7.4v9.2L12 21.2 4 16.6V7.4zM12 12l8-4.6M12 12 4 7.4M12 12v9.2",
};
/** Where the words of an edge stand, as a share of its length: near those who send, so that words keep apart. */
const WORDS_AT = 0.3;
const paper = document.createElement("canvas").getContext("2d");

/** A text that is not wider than some pixels. */
function fit(text, width, size, weight = 400) {
  paper.font = `${weight} ${size}px ${FONT}`;
  let shown = String(text);
  if (paper.measureText(shown).width <= width) return shown;
  while (shown.length > 1 && paper.measureText(`${shown}…`).width > width) shown = shown.slice(0, -1);
  return `${shown}…`;
}

/** The end of a text that is too long, which tells names with a common beginning apart. */
function fitEnd(text, width, size) {
  paper.font = `400 ${size}px ${FONT}`;
  let shown = String(text);
  if (paper.measureText(shown).width <= width) return shown;
  while (shown.length > 1 && paper.measureText(`…${shown}`).width > width) shown = shown.slice(1);
  return `…${shown}`;
}

/**
 * Draws one picture.
 * @param {object} ctx of the view
 * @param {object} model what is there
 * @param {object} plan where it is
 * @param {object} colours of the palette
 * @param {(id: string) => void} open somebody wants to know more of a node
 */
export class Picture {
  constructor(ctx, model, plan, colours, open) {
    Object.assign(this, { ctx, model, plan, c: colours, open });
    this._edges = new Map();
    this._texts = new Map();
    this.svg = this._s("svg", {
      viewBox: `0 0 ${plan.width} ${plan.height}`, role: "group", "aria-label": `Map of the stack of ${model.cse.id}`,
      "font-family": FONT, "font-size": 12.5, class: "map-picture",
    });
    this._defs();
    this.svg.append(this._s("rect", { x: 0, y: 0, width: plan.width, height: plan.height, rx: 14, fill: colours.bg }));
    for (const head of plan.heads) this._text(this.svg, head.x, head.y, head.text, { fill: colours.muted, size: 13, weight: 600 });
    this._lines = this._layer();
    this.flow = this._layer();
    this.flow.setAttribute("class", "map-flow");
    this._boxes = this._layer();
    this._labels = this._layer();
    for (const edge of model.edges) this._edge(edge);
    for (const group of model.groups) this._group(group);
    this._cse();
    for (const app of model.apps) this._app(app);
    if (model.adapter) this._adapter();
    if (model.platform) this._platform();
    if (model.cloud) this._cloud();
    for (const remote of model.remotes) this._remote(remote);
    this._legend();
  }

  // --- parts -------------------------------------------------------------------------------------------------------

  _s(tag, props, ...children) { return this.ctx.el(`svg:${tag}`, props, ...children); }

  _layer() {
    const layer = this._s("g", null);
    this.svg.append(layer);
    return layer;
  }

  _defs() {
    this.svg.append(this._s("defs", null,
      this._s("linearGradient", { id: "map-cse", x1: 0, y1: 0, x2: 0, y2: 1 },
        this._s("stop", { offset: 0, "stop-color": this.c.cseFrom }), this._s("stop", { offset: 1, "stop-color": this.c.cseTo }))));
  }

  _text(parent, x, y, text, { fill = this.c.ink, size = 12.5, weight = 400, anchor = "start", width = 0, key = "" } = {}) {
    const node = this._s("text", { x, y, fill, "font-size": size, "font-weight": weight, "text-anchor": anchor }, width ? fit(text, width, size, weight) : text);
    if (key) this._texts.set(key, node);
    parent.append(node);
    return node;
  }

  /** A part that can be opened with a click or a key. */
  _part(id, label, parent = this._boxes) {
    const node = this._s("g", {
      tabindex: 0, role: "button", "aria-label": label, cursor: "pointer", class: "map-part", dataset: { id },
      on: {
        click: () => this.open(id),
        keydown: event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.open(id); } },
      },
    });
    parent.append(node);
    return node;
  }

  _card(box, { fill = this.c.surface, stroke = this.c.line, dash = null, width = 1.2 } = {}) {
    this._boxes.append(this._s("rect", { x: box.x, y: box.y, width: box.w, height: box.h, rx: 12, fill, stroke, "stroke-width": width, "stroke-dasharray": dash }));
  }

  _head(id, box, { icon, title, words, label, fill = this.c.ink, muted = this.c.muted, tint = this.c.accent }) {
    const part = this._part(id, label);
    part.append(this._s("rect", { x: box.x + 1, y: box.y + 1, width: box.w - 2, height: Math.min(box.h - 2, HEAD - 4), rx: 11, fill: "transparent", class: "map-hit" }));
    part.append(this._s("g", { transform: `translate(${box.x + 13} ${box.y + 12})` },
      this._s("path", { d: ICONS[icon] || ICONS.device, fill: "none", stroke: tint, "stroke-width": 1.7, "stroke-linecap": "round", "stroke-linejoin": "round" })));
    this._text(part, box.x + 47, box.y + 22, title, { fill, size: 14.5, weight: 650, width: box.w - 58 });
    this._text(part, box.x + 47, box.y + 39, words, { fill: muted, size: 12, width: box.w - 58, key: `${id} words` });
    return part;
  }

  _mark(parent, x, y, state, scale = 0.8) {
    const { tone, shape } = toneOf(state);
    const colour = this.c[tone];
    parent.append(this._s("path", {
      d: outline(shape), transform: `translate(${x} ${y}) scale(${scale})`,
      fill: shape === "disc" ? colour : this.c.surface, stroke: colour, "stroke-width": 2.2,
    }));
  }

  /** A line of a box: shape, name, word of the state. */
  _row(id, box, y, name, state, label, extra = "") {
    const part = id ? this._part(id, label) : this._boxes;
    const { tone } = toneOf(state);
    const word = extra || state;
    if (id) part.append(this._s("rect", { x: box.x + 6, y: y - 15, width: box.w - 12, height: ROW - 1, rx: 6, fill: tone === "bad" ? this.c.badSoft : "transparent", class: "map-hit" }));
    this._mark(part, box.x + 15, y - 11.5, state);
    paper.font = `600 10.5px ${FONT}`;
    const taken = word ? paper.measureText(word).width + 10 : 0;
    this._text(part, box.x + 36, y, fitEnd(name, box.w - 52 - taken, 12.5));
    if (word) this._text(part, box.x + box.w - 13, y, word, { fill: tone === "none" ? this.c.muted : this.c[tone], size: 10.5, weight: 600, anchor: "end" });
  }

  _shapes(box, y, members) {
    const per = perLine(box.w);
    members.slice(0, SHAPES).forEach((one, place) => this._mark(this._boxes, box.x + 14 + (place % per) * GRID, y + Math.floor(place / per) * GRID, one.state, 0.72));
    const below = y + Math.ceil(Math.min(members.length, SHAPES) / per) * GRID;
    if (members.length <= SHAPES) return below;
    this._text(this._boxes, box.x + 15, below + 11, `and ${members.length - SHAPES} more`, { fill: this.c.muted, size: 11.5 });
    return below + 18;
  }

  _group(group) {
    const box = this.plan.boxes.get(group.id);
    const count = states(group.members);
    const title = group.kind || "AEs";
    const inactive = group.members.filter(one => one.state === "INACTIVE");
    this._card(box, inactive.length ? { stroke: this.c.bad } : {});
    const words = `${group.members.length} ${group.kind ? "device" : "AE"}${group.members.length > 1 ? "s" : ""} · ${WORDS[group.binding]}`;
    this._head(group.id, box, { icon: group.kind || "app", title, words, label: `${title}, ${words}, ${count}`, tint: this.c[group.binding] });
    if (group.listed) {
      group.members.forEach((ae, place) => this._ae(ae, box, box.y + HEAD + 13 + place * ROW));
      return;
    }
    const below = this._shapes(box, box.y + HEAD, group.members) + 16;
    inactive.slice(0, 3).forEach((ae, place) => this._ae(ae, box, below + place * ROW));
  }

  _ae(ae, box, y) { this._row(ae.id, box, y, ae.name, ae.state || "not exposed", `AE ${ae.name}, ${ae.state || "not exposed to MEC"}`, ae.state || " "); }

  _cse() {
    const { cse } = this.model;
    const box = this.plan.boxes.get("cse");
    this._card(box, { fill: "url(#map-cse)", stroke: this.c.cseTo });
    this._head("cse", box, { icon: "cse", title: cse.id, words: `${cse.type}-CSE · ${cse.name}`, label: `CSE ${cse.id}`, fill: this.c.cseInk, muted: this.c.cseMuted, tint: this.c.cseInk });
    this._text(this._boxes, box.x + 16, box.y + 76, "", { fill: this.c.cseInk, size: 19, weight: 650, key: "cse rate" });
    cse.bindings.forEach((binding, place) => {
      const y = padY(box, place);
      this._boxes.append(this._s("rect", { x: box.x + 12, y: y - 16, width: box.w - 24, height: 32, rx: 8, fill: this.c.csePad, "fill-opacity": 0.1 }));
      this._boxes.append(this._s("circle", { cx: box.x, cy: y, r: 5, fill: this.c.surface, stroke: this.c[binding], "stroke-width": 2.5 }));
      this._text(this._boxes, box.x + 24, y + 4.5, WORDS[binding], { fill: this.c.cseInk, weight: 600 });
      this._text(this._boxes, box.x + box.w - 24, y + 4.5, "", { fill: this.c.cseMuted, anchor: "end", key: `pad ${binding}` });
    });
  }

  _app(app) {
    const box = this.plan.boxes.get(app.id);
    this._card(box);
    const words = `${app.subscriptions.length} subscription${app.subscriptions.length > 1 ? "s" : ""}`;
    this._head(app.id, box, { icon: "app", title: app.name, words: "application", label: `Application ${app.name}, ${words}`, tint: this.c.notify });
    this._text(this._boxes, box.x + 47, box.y + 55, words, { fill: this.c.muted, size: 11.5 });
  }

  _adapter() {
    const { adapter } = this.model;
    const box = this.plan.boxes.get("adapter");
    const isUp = adapter.state === "up";
    this._card(box, isUp ? {} : { stroke: this.c.bad, dash: "5 4" });
    this._head("adapter", box, { icon: "adapter", title: "MEC adapter", words: "Mp1, cloud sync", label: `Adapter, ${isUp ? adapter.mp1 : "no answer"}`, tint: this.c.mca });
    this._row("", box, box.y + 74, "Mp1", isUp ? adapter.mp1 || "off" : "no answer", "");
  }

  _platform() {
    const { platform } = this.model;
    const box = this.plan.boxes.get("platform");
    this._card(box, platform.reached ? {} : { stroke: this.c.bad, dash: "5 4" });
    const host = String(platform.apiRoot || "").replace(/^https?:\/\//, "");
    this._head("platform", box, { icon: "platform", title: "MEC platform", words: platform.reached ? host : "no answer", label: `MEC platform ${host}, ${platform.reached ? "" : "no answer"}`, tint: this.c.mp1 });
    let y = box.y + HEAD + 12;
    if (!platform.known) {
      this._row("", box, y + 4, "registry", "no answer", "");
      return;
    }
    const active = platform.services.filter(one => one.state === "ACTIVE").length;
    this._caption(box, y, `services · ${active} of ${platform.serviceCount} ACTIVE`);
    for (const line of platform.lines.slice(0, 6)) {
      y += ROW;
      this._row(`service:${line.first.id}`, box, y, line.name, line.state, `MEC service ${line.name}, ${line.state}`, line.count > 1 ? `${line.count} × ${line.state}` : "");
    }
    y += 26;
    const { named, shapes } = namedInstances(platform);
    this._caption(box, y, `application instances · ${platform.instances.length}`);
    if (shapes.length) y = this._shapes(box, y + 8, shapes) - 2;
    for (const one of named) {
      y += ROW;
      this._row(`app:${one.id}`, box, y, one.name, one.state, `Application instance of ${one.name}, ${one.state}`);
    }
  }

  _caption(box, y, text) { this._text(this._boxes, box.x + 15, y, text, { fill: this.c.muted, size: 11.5, weight: 600, width: box.w - 28 }); }

  _cloud() {
    const { cloud } = this.model;
    const box = this.plan.boxes.get("cloud");
    const isDown = cloud.state === "down" || (cloud.sync && cloud.sync.cloud === "down");
    this._card(box, isDown ? { stroke: this.c.bad, dash: "5 4" } : {});
    const words = isDown ? "no answer" : cloud.registered ? "IN-CSE · registrar" : "IN-CSE";
    this._head("cloud", box, { icon: "cloud", title: cloud.id, words, label: `Cloud CSE ${cloud.id}, ${words}`, tint: this.c.sync });
    if (!cloud.sync) return;
    this._text(this._boxes, box.x + 15, box.y + 71, "", { size: 12.5, weight: 600, key: "lag", width: 0 });
    this._text(this._boxes, box.x + 15, box.y + 92, "", { fill: this.c.muted, size: 12, key: "forwarded" });
  }

  _remote(remote) {
    const box = this.plan.boxes.get(remote.id);
    this._card(box);
    this._head(remote.id, box, { icon: "cse", title: remote.cse, words: "registered CSE", label: `CSE ${remote.cse}` });
  }

  // --- edges -------------------------------------------------------------------------------------------------------

  _edge(edge) {
    const d = this.plan.paths.get(edge.id);
    const path = this._s("path", { d, fill: "none", stroke: edge.down ? this.c.bad : this.c.idle, "stroke-width": 1.6, "stroke-linecap": "round", "stroke-dasharray": edge.down ? "6 5" : edge.faint ? "2 5" : null });
    this._lines.append(path);
    const middle = this.plan.spots?.get(edge.id) || path.getPointAtLength(path.getTotalLength() * (edge.to === "cse" ? WORDS_AT : 0.5));
    const pill = this._s("g", { opacity: 0 },
      this._s("rect", { x: -20, y: -10, width: 40, height: 20, rx: 10, fill: this.c.surface, stroke: this.c.line }),
      this._s("text", { x: 0, y: 4, "text-anchor": "middle", "font-size": 11, "font-weight": 600, fill: this.c.ink }, ""));
    this._labels.append(pill);
    this._edges.set(edge.id, { edge, path, pill, middle });
  }

  /** The path along which something runs. */
  pathOf(id) { return this._edges.get(id)?.path || null; }

  _say(pill, middle, text, colour) {
    const [rect, word] = pill.children;
    pill.setAttribute("opacity", text ? 1 : 0);
    if (word.textContent === text && word.getAttribute("fill") === colour) return;
    word.textContent = text;
    word.setAttribute("fill", colour);
    paper.font = `600 11px ${FONT}`;
    const width = Math.max(26, paper.measureText(text).width + 16);
    rect.setAttribute("x", -width / 2);
    rect.setAttribute("width", width);
    // Words at the side of a narrow picture stay inside it.
    const x = Math.min(Math.max(middle.x, width / 2 + 3), this.plan.width - width / 2 - 3);
    pill.setAttribute("transform", `translate(${x} ${middle.y})`);
  }

  _put(key, text, width = 0) {
    const node = this._texts.get(key);
    if (!node) return;
    const shown = width ? fit(text, width, 12.5, 600) : text;
    if (node.textContent !== shown) node.textContent = shown;
  }

  /** Show the rates of now. */
  update(seen, now) {
    for (const { edge, path, pill, middle } of this._edges.values()) {
      const rate = seen.rateOn(edge, now);
      const lit = rate > 0 && !edge.down;
      const colour = edge.down ? this.c.bad : lit ? this.c[edge.binding] : this.c.idle;
      path.setAttribute("stroke", colour);
      path.setAttribute("stroke-width", lit ? Math.min(6, 2 + Math.log2(1 + rate)).toFixed(1) : 1.6);
      const words = [edge.word, lit ? `${perSecond(rate)}/s` : "", edge.down ? "no answer" : ""].filter(Boolean);
      this._say(pill, middle, this.plan.narrow && edge.faint ? "" : words.join(" "), edge.down ? this.c.bad : lit ? colour : this.c.muted);
    }
    let all = 0;
    for (const binding of this.model.cse.bindings) {
      const rate = seen.rateOfBinding(binding, now);
      all += rate;
      this._put(`pad ${binding}`, `${perSecond(rate)}/s`);
    }
    this._put("cse rate", `${perSecond(all)} requests/s`);
    const sync = this.model.cloud?.sync;
    if (sync) {
      const words = sync.pending ? `${sync.pending.toLocaleString("en")} wait, ${seconds(sync.oldest_pending_s)} behind` : "in step: nothing waits";
      this._put("lag", words);
      this._texts.get("lag").setAttribute("fill", sync.pending > 20 || sync.cloud === "down" ? this.c.bad : this.c.good);
      this._put("forwarded", `${sync.forwarded.toLocaleString("en")} copied`);
    }
  }

  // --- legend ------------------------------------------------------------------------------------------------------

  _legend() {
    const { c, plan, model } = this;
    const layer = this._layer();
    let x = plan.narrow ? 34 : 24, y = plan.narrow ? plan.height - 66 : plan.height - 20;
    const most = plan.width - (plan.narrow ? 30 : 20);
    const begin = x;
    const place = (width, put) => {
      if (x + width > most) { x = begin; y += 20; }
      put(x, y);
      x += width;
    };
    const words = (text, put, lead) => {
      paper.font = `400 11.5px ${FONT}`;
      place(lead + paper.measureText(text).width + 16, (at, line) => {
        put(at, line);
        this._text(layer, at + lead, line, text, { fill: c.muted, size: 11.5 });
      });
    };
    const meanings = model.platform ? [["ACTIVE", "ACTIVE"], ["INACTIVE", "INACTIVE"], ["other", "between states"], ["", "not exposed to MEC"]] : [["", "AE"]];
    for (const [state, text] of meanings) {
      words(text, (at, line) => this._mark(layer, at, line - 11, state), 17);
    }
    const kinds = [...new Set(model.edges.filter(edge => !edge.faint && edge.binding).map(edge => edge.binding))];
    for (const binding of kinds) {
      words(WORDS[binding], (at, line) => layer.append(this._s("path", { d: `M${at} ${line - 4}h18`, stroke: c[binding], "stroke-width": 3, "stroke-linecap": "round" })), 24);
    }
  }
}

function states(members) {
  const found = new Map();
  for (const one of members) found.set(one.state || "not exposed", (found.get(one.state || "not exposed") || 0) + 1);
  return [...found].map(([word, count]) => `${count} ${word}`).join(", ");
}
