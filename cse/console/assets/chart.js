// A line chart of values over time as SVG: keys move a cursor that is read aloud, and the same values are in a table.
import { el, replace } from "./dom.js";

const WIDEST = 640, NARROWEST = 240, HEIGHT = 190, BAND = 84, LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 24;
/** Lines whose spans differ by more than this get a band of their own each. */
const UNLIKE = 4;
const SERIES = 4;
const ROWS = 200;

/** The numbers in the content of an instance by name: {"": 21.5}, or the numeric members of an object. */
export function numbersIn(content) {
  let value = content;
  if (typeof value === "string") {
    if (value.trim() !== "" && Number.isFinite(Number(value))) return { "": Number(value) };
    if (!/^\s*\{/.test(value)) return {};
    try { value = JSON.parse(value); } catch { return {}; }
  }
  if (typeof value === "number" && Number.isFinite(value)) return { "": value };
  if (value === null || typeof value !== "object" || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value).filter(([, one]) => typeof one === "number" && Number.isFinite(one)));
}

const least = values => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = values => values.reduce((a, b) => Math.max(a, b), -Infinity);
const shortest = value => String(Number(value.toPrecision(6)));
const time = millis => new Date(millis).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** Round places for lines between two numbers. */
function ticks(low, high, about) {
  const span = high - low || 1;
  const raw = span / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(one => one * power).find(one => one >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

/** A chart. `points` are {t: milliseconds, values: {name: number}}, oldest first; the names become lines. */
export class Chart {
  /** @param {string} label what it shows @param {function} announce reads a point aloud @param {number} kept points kept */
  constructor(label, announce, kept = 5000) {
    this.label = label;
    this.announce = announce;
    this.kept = kept;
    this.points = [];
    this.cursor = null;
    this.width = WIDEST;
    this.svg = el("svg:svg", { role: "img", tabindex: "0", on: {
      keydown: event => this.key(event), pointermove: event => this.point(event), pointerleave: () => this.move(null), blur: () => this.move(null),
    } });
    this.words = el("div", { class: "legend" });
    this.body = el("tbody");
    this.head = el("tr");
    this.caption = el("caption", { class: "only-read" });
    this.table = el("details", { on: { toggle: () => this.rows() } }, el("summary", null, "Values as a table"),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Values of ${label}` },
        el("table", null, this.caption, el("thead", null, this.head), this.body)));
    this.node = el("figure", { class: "chart" }, this.svg, this.words, this.table);
    // Drawn at the width it has, so that letters keep their size.
    new ResizeObserver(([entry]) => {
      const width = Math.max(NARROWEST, Math.round(entry.contentRect.width));
      if (width === this.width) return;
      this.width = width;
      this.later();
    }).observe(this.node);
    this.draw();
  }

  /** Show these points, and those that came after them while they were read. */
  set(points) {
    const last = points.at(-1)?.t ?? -Infinity;
    this.points = [...points, ...this.points.filter(point => point.t > last)].slice(-this.kept);
    this.later();
  }

  /** Add one at the end. */
  add(point) {
    this.points.push(point);
    if (this.points.length > this.kept) this.points.shift();
    this.later();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  names() {
    const names = new Set();
    for (const point of this.points) for (const name of Object.keys(point.values)) names.add(name);
    return [...names].slice(0, SERIES);
  }

  /** The lines that share a scale: all of them, or each alone when small changes of one would be lost beside another. */
  bands(names) {
    const spans = names.map(name => {
      const values = this.points.map(point => point.values[name]).filter(value => value !== undefined);
      return { names: [name], low: least(values), high: most(values) };
    });
    const all = { names, low: least(spans.map(one => one.low)), high: most(spans.map(one => one.high)) };
    const alike = spans.every(one => (all.high - all.low) <= UNLIKE * (one.high - one.low || Math.abs(one.high) * 0.05 || 1));
    return names.length === 1 || alike ? [all] : spans;
  }

  draw() {
    const names = this.names();
    const bands = names.length ? this.bands(names) : [];
    const each = bands.length > 1 ? BAND : HEIGHT;
    this.height = TOP + Math.max(1, bands.length) * each + BOTTOM;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.setAttribute("height", this.height);
    if (!names.length) {
      replace(this.svg, el("svg:text", { x: this.width / 2, y: this.height / 2, "text-anchor": "middle" }, "no numbers yet"));
      this.svg.setAttribute("aria-label", `${this.label}: no numbers yet`);
      replace(this.words);
      return;
    }
    const begin = this.points[0].t, end = this.points.at(-1).t;
    this.x = t => LEFT + (end === begin ? 0.5 : (t - begin) / (end - begin)) * (this.width - LEFT - RIGHT);
    this.y = {};
    const lines = bands.map((band, number) => this.scale(band, TOP + number * each, each - (bands.length > 1 ? 12 : 0), bands.length > 1 ? 2 : 4));
    const times = [[begin, "start", LEFT], [end, "end", this.width - RIGHT]].map(([t, anchor, x]) =>
      el("svg:text", { x, y: this.height - 6, "text-anchor": anchor }, time(t)));
    const drawn = names.map((name, number) => el("svg:path", { class: `line s${number + 1}`, d: this.path(name) }));
    this.overlay = el("svg:g");
    replace(this.svg, lines, times, drawn, this.overlay);
    const last = this.points.at(-1);
    const spoken = bands.map(band => `${bands.length > 1 ? `${band.names[0]} ` : ""}lowest ${shortest(band.low)}, highest ${shortest(band.high)}`).join(", ");
    this.svg.setAttribute("aria-label", `${this.label}: ${this.points.length} values from ${time(begin)} to ${time(end)}, ${spoken}, newest ${this.spoken(last)}. Arrow keys read single values.`);
    this.legend(this.cursor === null ? last : this.points[this.cursor] || last);
    this.mark();
    this.rows();
  }

  /** Lay a band out; gives its grid. */
  scale({ names, low, high }, top, height, about) {
    const pad = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
    const bottom = low - pad, span = high - low + 2 * pad;
    const y = value => top + (1 - (value - bottom) / span) * height;
    for (const name of names) this.y[name] = y;
    return ticks(bottom, bottom + span, about).map(value => [
      el("svg:line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y(value), y2: y(value) }),
      el("svg:text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, shortest(value))]);
  }

  path(name) {
    const parts = [];
    const each = Math.max(1, Math.floor(this.points.length / (this.width * 2)));
    this.points.forEach((point, index) => {
      const value = point.values[name];
      if (value === undefined || (index % each && index !== this.points.length - 1)) return;
      parts.push(`${parts.length ? "L" : "M"}${this.x(point.t).toFixed(1)} ${this.y[name](value).toFixed(1)}`);
    });
    return parts.length === 1 ? `${parts[0]}h.01` : parts.join("");
  }

  spoken(point) {
    return Object.entries(point.values).map(([name, value]) => (name ? `${name} ${shortest(value)}` : shortest(value))).join(", ");
  }

  legend(point) {
    replace(this.words, this.names().map((name, number) => el("span", null, el("span", { class: `key k${number + 1}` }),
      name ? `${name} ` : "", el("strong", null, point.values[name] === undefined ? "–" : shortest(point.values[name])))),
    el("span", null, time(point.t)));
  }

  mark() {
    const point = this.cursor === null ? null : this.points[this.cursor];
    if (!this.overlay) return;
    if (!point) { replace(this.overlay); return; }
    replace(this.overlay, el("svg:line", { class: "cursor", x1: this.x(point.t), x2: this.x(point.t), y1: TOP, y2: this.height - BOTTOM }),
      this.names().map((name, number) => (point.values[name] === undefined ? null
        : el("svg:circle", { class: `mark s${number + 1}`, cx: this.x(point.t), cy: this.y[name](point.values[name]), r: 4 }))));
  }

  move(index) {
    this.cursor = index;
    if (!this.points.length) return;
    this.legend(index === null ? this.points.at(-1) : this.points[index]);
    this.mark();
  }

  point(event) {
    if (!this.points.length) return;
    const box = this.svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * this.width;
    let nearest = 0;
    this.points.forEach((point, index) => {
      if (Math.abs(this.x(point.t) - x) < Math.abs(this.x(this.points[nearest].t) - x)) nearest = index;
    });
    this.move(nearest);
  }

  key(event) {
    const last = this.points.length - 1;
    if (last < 0) return;
    const at = this.cursor ?? last + 1;
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, PageUp: at - 10, PageDown: at + 10 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.move(Math.min(last, Math.max(0, moves[event.key])));
    const point = this.points[this.cursor];
    this.announce(`${time(point.t)}: ${this.spoken(point)}`);
  }

  rows() {
    if (!this.table.open) return;
    const names = this.names();
    const newest = this.points.slice(-ROWS).reverse();
    this.caption.textContent = `${this.label}, newest first${this.points.length > ROWS ? `, the newest ${ROWS} of ${this.points.length}` : ""}`;
    replace(this.head, el("th", { scope: "col" }, "Time"), names.map(name => el("th", { scope: "col", class: "number" }, name || "Value")));
    replace(this.body, newest.map(point => el("tr", null, el("td", null, new Date(point.t).toLocaleString()),
      names.map(name => el("td", { class: "number" }, point.values[name] === undefined ? "" : shortest(point.values[name]))))));
  }
}
