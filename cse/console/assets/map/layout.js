// Where everything stands: four columns on a wide page, one on a narrow one. Pure: from the model to boxes and curves.

export const HEAD = 50;
export const ROW = 22;
const GAP = 16, NARROW_GAP = 24;
const GRID = 16;

/** How many shapes go into a line of a box. */
export const perLine = width => Math.max(1, Math.floor((width - 32) / GRID));

/** Shapes that a box has at most; how many more there are is said. */
export const SHAPES = 168;

/** The height of the shapes of some members. */
function gridHeight(count, width) {
  return Math.ceil(Math.min(count, SHAPES) / perLine(width)) * GRID + (count > SHAPES ? 18 : 0);
}

const inactive = members => members.filter(one => one.state === "INACTIVE");

function groupHeight(group, width) {
  if (group.listed) return HEAD + group.members.length * ROW + 8;
  return HEAD + gridHeight(group.members.length, width) + 8 + Math.min(3, inactive(group.members).length) * ROW;
}

/** The instances that the box of the platform names, and whether the others are shapes only. */
export function namedInstances(platform) {
  const all = platform.instances;
  if (all.length <= 9) return { named: all, shapes: [] };
  return { named: inactive(all).slice(0, 5), shapes: all };
}

function platformHeight(platform, width) {
  if (!platform.known) return HEAD + 30;
  const { named, shapes } = namedInstances(platform);
  const grid = shapes.length ? gridHeight(shapes.length, width) + 6 : 0;
  return HEAD + 22 + Math.min(6, platform.lines.length) * ROW + 26 + grid + named.length * ROW + 8;
}

const cseHeight = cse => 98 + cse.bindings.length * 44;

function curve(a, b) {
  const bend = Math.max(30, Math.abs(b.x - a.x) * 0.5);
  const side = Math.sign(b.x - a.x) || 1;
  return `M${a.x} ${a.y}C${a.x + side * bend} ${a.y} ${b.x - side * bend} ${b.y} ${b.x} ${b.y}`;
}

const right = (box, at = 0.5) => ({ x: box.x + box.w, y: box.y + box.h * at });
const left = (box, at = 0.5) => ({ x: box.x, y: box.y + box.h * at });

/** Where the pad of a binding is on the box of the CSE. */
export const padY = (box, place) => box.y + 96 + place * 44 + 16;

/**
 * Boxes and curves.
 * @returns {{width: number, height: number, narrow: boolean, boxes: Map, paths: Map, heads: Array}}
 */
export function layout(model, narrow) {
  return narrow ? column(model) : columns(model);
}

function columns(model) {
  const boxes = new Map();
  const top = 56;
  const hasC = Boolean(model.adapter || model.apps.length), hasD = Boolean(model.cloud || model.platform || model.remotes.length);
  const A = { x: 24, w: 254 }, B = { x: 396, w: 204 }, C = { x: 720, w: 184 }, D = { x: hasC ? 988 : 760, w: 258 };
  const last = hasD ? D : hasC ? C : B;
  const width = last.x + last.w + 24;
  let y = top;
  for (const group of model.groups) {
    const h = groupHeight(group, A.w);
    boxes.set(group.id, { x: A.x, y, w: A.w, h });
    y += h + GAP;
  }
  let right_y = top;
  if (model.cloud) {
    boxes.set("cloud", { x: D.x, y: right_y, w: D.w, h: model.cloud.sync ? 112 : 74 });
    right_y += boxes.get("cloud").h + 34;
  }
  for (const remote of model.remotes) {
    boxes.set(remote.id, { x: D.x, y: right_y, w: D.w, h: 54 });
    right_y += 54 + GAP;
  }
  if (model.platform) {
    boxes.set("platform", { x: D.x, y: right_y, w: D.w, h: platformHeight(model.platform, D.w) });
    right_y += boxes.get("platform").h + GAP;
  }
  const cse_h = cseHeight(model.cse);
  const apps_h = model.apps.length * (64 + GAP);
  const middle_h = (model.adapter ? 92 + GAP : 0) + apps_h;
  const inner = Math.max(y, right_y, top + cse_h + 40, top + middle_h + 120) - top;
  boxes.set("cse", { x: B.x, y: top + (inner - GAP - cse_h) / 2, w: B.w, h: cse_h });
  const cse = boxes.get("cse");
  for (const group of model.groups) boxes.get(group.id).y += Math.max(0, (inner - (y - top)) / 2);
  for (const id of ["cloud", "platform", ...model.remotes.map(one => one.id)]) {
    if (boxes.has(id)) boxes.get(id).y += Math.max(0, (inner - (right_y - top)) / 2);
  }
  if (model.adapter) {
    const beside = boxes.get("platform");
    const wanted = beside ? Math.min(beside.y + 10, cse.y + cse.h / 2 - 46) : cse.y + cse.h / 2 - 46;
    boxes.set("adapter", { x: C.x, y: Math.max(top + 60, wanted), w: C.w, h: 92 });
  }
  let app_y = model.adapter ? Math.max(boxes.get("adapter").y + 92 + 40, cse.y + cse.h - 64) : cse.y + cse.h / 2 - apps_h / 2;
  for (const app of model.apps) {
    boxes.set(app.id, { x: C.x, y: app_y, w: C.w, h: 64 });
    app_y += 64 + GAP;
  }
  const height = Math.max(top + inner, app_y) + 52;
  const heads = [[A, model.hidden > 0 ? `Devices and AEs, ${model.hidden} more` : "Devices and AEs"], [B, `${model.cse.type === "IN" ? "Cloud" : "Edge"} CSE`]];
  if (hasC) heads.push([C, `${model.adapter ? "Adapter and applications" : "Applications"}${model.moreApps ? `, ${model.moreApps} more` : ""}`]);
  if (hasD) heads.push([D, model.platform ? "Cloud and MEC" : model.cloud ? "Cloud" : "Other CSEs"]);
  const paths = new Map();
  for (const edge of model.edges) paths.set(edge.id, curve(...ends(edge, boxes, model)));
  return { width, height, narrow: false, boxes, paths, heads: heads.map(([place, text]) => ({ x: place.x, y: 34, text })) };
}

function ends(edge, boxes, model) {
  const cse = boxes.get("cse");
  const to = boxes.get(edge.to);
  const from = boxes.get(edge.from);
  if (edge.to === "cse") {
    const place = model.cse.bindings.indexOf(edge.binding);
    return [right(from, Math.min(0.5, 25 / from.h)), { x: cse.x, y: place < 0 ? cse.y + 48 : padY(cse, place) }];
  }
  if (edge.id === "mcc") return [right(cse, 0.14), left(to, 0.3)];
  if (edge.id === "mca") return [right(cse, 0.42), left(to)];
  if (edge.id === "sync") return [right(from, 0.25), left(to, 0.72)];
  if (edge.id === "mp1") return [right(from, 0.7), left(to, Math.min(0.5, 40 / to.h))];
  if (edge.notifies) return [right(cse, 0.78), left(to)];
  if (edge.id.startsWith("finds:")) return [right(from), left(to, Math.max(0.5, 1 - 60 / to.h))];
  return [right(cse, 0.28), left(to)];
}

/** One column: what is near stands near, what is not is led around it at the sides. */
function column(model) {
  const width = 360;
  const x = 34, w = 292;
  const boxes = new Map();
  let y = 20;
  const put = (id, h, gap = 34) => { boxes.set(id, { x, y, w, h }); y += h + gap; };
  if (model.cloud) put("cloud", model.cloud.sync ? 112 : 74);
  for (const remote of model.remotes) put(remote.id, 54);
  if (model.platform) put("platform", platformHeight(model.platform, w));
  if (model.adapter) put("adapter", 92);
  for (const app of model.apps) put(app.id, 64);
  put("cse", cseHeight(model.cse), 40);
  for (const group of model.groups) put(group.id, groupHeight(group, w), NARROW_GAP);
  const groups = new Set(model.groups.slice(1).map(group => boxes.get(group.id).y));
  const paths = new Map();
  const spots = new Map();
  let lane = 0;
  for (const edge of model.edges) {
    const from = boxes.get(edge.from);
    const to = boxes.get(edge.to);
    const [upper, lower] = from.y < to.y ? [from, to] : [to, from];
    const next = ![...boxes.values()].some(box => box.y > upper.y && box.y < lower.y);
    const below = upper.y + upper.h;
    let d;
    if (next) d = `M${x + w / 2} ${below}V${lower.y}`;
    else {
      const leftSide = edge.to === "cse" || edge.notifies || edge.id === "mca";
      lane = (lane + 1) % 3;
      const at = leftSide ? x - 10 - lane * 8 : x + w + 10 + lane * 8;
      const edgeX = leftSide ? x : x + w;
      // Its words stand in the gap above the lower box.
      spots.set(edge.id, { x: at, y: lower.y - (groups.has(lower.y) ? NARROW_GAP : 34) / 2 });
      const pad = model.cse.bindings.indexOf(edge.binding);
      const a = edge.to === "cse" && pad >= 0 ? padY(upper, pad) : upper.y + Math.min(36, upper.h / 2);
      const b = lower.y + 25;
      d = `M${edgeX} ${a}C${at} ${a} ${at} ${a} ${at} ${a + 12}V${b - 12}C${at} ${b} ${at} ${b} ${edgeX} ${b}`;
      if (from === lower) d = `M${edgeX} ${b}C${at} ${b} ${at} ${b} ${at} ${b - 12}V${a + 12}C${at} ${a} ${at} ${a} ${edgeX} ${a}`;
    }
    if (next && from === lower) d = `M${x + w / 2} ${lower.y}V${below}`;
    paths.set(edge.id, d);
  }
  return { width, height: y + 96, narrow: true, boxes, paths, spots, heads: [] };
}
