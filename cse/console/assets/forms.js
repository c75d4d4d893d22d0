// What can be done with a resource: a value, a child, a change, the end. Dialogs of the browser, so keys and focus are right.
import { el, toTimestamp } from "./dom.js";
import { refusal } from "./types.js";

const READ_ONLY = new Set(["ri", "pi", "rn", "ty", "ct", "lt", "st", "cni", "cbs", "aei", "csi", "cst", "srt", "ctm", "cr", "hld", "ss"]);

/** What a new resource of a type may look like. */
function example(number, root, me) {
  const bodies = {
    1: { pv: { acr: [{ acor: ["all"], acop: 34 }] }, pvs: { acr: [{ acor: [me], acop: 63 }] } },
    2: { api: "Nmy-app", rr: false, srv: ["3"] },
    4: { con: "21.5" },
    9: { mnm: 10, mid: [] },
    23: { nu: ["http://127.0.0.1:9000/"], enc: { net: [3] }, nct: 1 },
    29: {},
    30: { con: "21.5", dgt: toTimestamp(new Date()) },
  };
  return JSON.stringify({ [root]: bodies[number] || {} }, null, 2);
}

/** A dialog with a form; `send(values)` gives "" or why it did not work. */
function ask(title, fields, word, send, danger = false) {
  const problem = el("p", { class: "error", role: "alert" });
  const button = el("button", { type: "submit", class: danger ? "danger" : "primary" }, word);
  const close = el("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel");
  const form = el("form", { class: "dialog", on: { submit: async event => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      const words = await send();
      if (words) problem.textContent = words;
      else dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    }
    button.disabled = false;
  } } }, el("h2", { id: "dialog-title" }, title), fields, problem, el("div", { class: "row end" }, close, button));
  const before = document.activeElement;
  const dialog = el("dialog", { "aria-labelledby": "dialog-title", on: { close: () => { dialog.remove(); before?.focus?.(); } } }, form);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

function field(label, control, help) {
  const id = control.id;
  return el("div", { class: "wide" }, el("label", { for: id }, label), control, help ? el("div", { class: "muted small" }, help) : null);
}

function parsed(text) {
  try { return [JSON.parse(text), ""]; } catch (error) { return [null, `This is no JSON: ${error.message}`]; }
}

/**
 * The buttons under a resource; none for viewers.
 * @param {object} state attributes: of the resource as they were read last
 * @param {function} refresh reads the resource again
 */
export function actions(ctx, node, types, state, refresh) {
  if (!ctx.may("operator")) return null;
  const children = (types[node.ty]?.children || []).map(number => [number, types[number]])
    .filter(([number, one]) => one && one.creatable && number < 10000 && (number !== 1 || ctx.may("admin")));
  const button = (word, act, kind = "") => el("button", { type: "button", class: kind, on: { click: act } }, word);
  const value = children.some(([number]) => number === 4) && node.ty === 3;
  return el("div", { class: "row actions" },
    value ? button("Add a value …", () => addValue(ctx, node)) : null,
    children.length ? button("Create below …", () => create(ctx, node, children, refresh)) : null,
    types[node.ty]?.updatable ? button("Change …", () => change(ctx, node, types, state, refresh)) : null,
    ctx.may("admin") && node.parent ? button("Delete …", () => remove(ctx, node), "danger") : null);
}

function addValue(ctx, node) {
  const con = el("input", { id: "new-value", required: true, autocomplete: "off", spellcheck: "false" });
  ask(`A value for ${node.name}`, field("Content (con)", con), "Add", async () => {
    const words = refusal(await ctx.ask({ op: 1, to: node.address, ty: 4, pc: { "m2m:cin": { con: con.value } } }));
    if (!words) ctx.announce(`added ${con.value}`);
    return words;
  });
}

function create(ctx, node, children, refresh) {
  const me = ctx.settings.session.originator;
  const type = el("select", { id: "new-type" }, children.map(([number, one]) => el("option", { value: number }, `${one.name} (${number})`)));
  const name = el("input", { id: "new-name", autocomplete: "off", spellcheck: "false", pattern: "[A-Za-z0-9._~\\-]+" });
  const content = el("textarea", { id: "new-content", rows: "10", spellcheck: "false" });
  const chosen = () => children.find(([number]) => number === Number(type.value));
  const suggest = () => { content.value = example(chosen()[0], chosen()[1].root, me); };
  if (children.some(([number]) => number === 3)) type.value = "3";
  type.addEventListener("change", suggest);
  suggest();
  ask(`Create below ${node.name}`, [field("Type", type), field("Name (rn)", name, "Left empty, the CSE chooses one."), field("Content", content)], "Create", async () => {
    const [pc, wrong] = parsed(content.value);
    if (wrong) return wrong;
    if (name.value) Object.values(pc).forEach(inner => { if (inner && typeof inner === "object") inner.rn = name.value; });
    const words = refusal(await ctx.ask({ op: 1, to: node.address, ty: Number(type.value), pc }));
    if (!words) { ctx.announce("created"); refresh(); }
    return words;
  });
}

function change(ctx, node, types, state, refresh) {
  const root = state.root || types[node.ty].root;
  const shown = Object.fromEntries(Object.entries(state.attributes || {}).filter(([name]) => !READ_ONLY.has(name)));
  const before = JSON.stringify({ [root]: shown }, null, 2);
  const content = el("textarea", { id: "changed-content", rows: "12", spellcheck: "false" });
  content.value = before;
  ask(`Change ${node.name}`, field("Attributes", content, "Only what differs is sent; null removes an attribute."), "Change", async () => {
    const [pc, wrong] = parsed(content.value);
    if (wrong) return wrong;
    const wanted = pc?.[root] ?? {};
    const differs = Object.entries(wanted).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(shown[name]));
    if (!differs.length) return "Nothing differs.";
    const words = refusal(await ctx.ask({ op: 3, to: node.address, pc: { [root]: Object.fromEntries(differs) } }));
    if (!words) { ctx.announce("changed"); refresh(); }
    return words;
  });
}

function remove(ctx, node) {
  ask(`Delete ${node.name}?`, el("p", null, "It goes with everything below it, and does not come back: ", el("code", null, node.address)), "Delete",
    async () => refusal(await ctx.ask({ op: 4, to: node.address })), true);
}
