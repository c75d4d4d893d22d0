// What is on the map: nodes and the edges between them, from the document of the stack and from what was seen to flow.

const LISTED = 16;

/** AEs by how they take part, with what the MEC platform says of each. */
function entities(stack, seen) {
  const exposed = new Map((stack.exposed || []).map(one => [one.ae, one]));
  return stack.aes.filter(ae => ae.role !== "adapter").map(ae => {
    const shown = exposed.get(ae.path);
    const kind = (ae.kind || (ae.role === "device" ? "device" : "")).replaceAll("_", "-");
    return {
      ...ae, id: `ae:${ae.path}`, kind, exposed: shown || null,
      binding: seen.bindingOf(ae.aei),
      state: shown ? shown.state || shown.phase : "",
      consumes: ae.role === "app" && ae.subscriptions.length > 0,
    };
  });
}

function groups(devices, bindings) {
  const found = new Map();
  // Who was not seen yet stands with those of its kind that were.
  const usual = new Map(devices.filter(ae => ae.kind && ae.binding).map(ae => [ae.kind, ae.binding]));
  for (const ae of devices) {
    const binding = ae.binding || usual.get(ae.kind) || "";
    const key = `${ae.kind || "AE"} ${binding}`;
    if (!found.has(key)) found.set(key, { id: `group:${key}`, kind: ae.kind, binding, members: [] });
    found.get(key).members.push(ae);
  }
  const list = [...found.values()];
  const place = group => (bindings.includes(group.binding) ? bindings.indexOf(group.binding) : bindings.length);
  list.sort((a, b) => place(a) - place(b) || (a.kind ? 0 : 1) - (b.kind ? 0 : 1) || a.id.localeCompare(b.id));
  for (const group of list) group.members.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  return list;
}

/** Services of the same name and state as one line. */
export function alike(services) {
  const found = new Map();
  for (const one of services) {
    const key = `${one.name}\n${one.state}`;
    const line = found.get(key) || { name: one.name, state: one.state, count: 0, first: one };
    line.count += 1;
    found.set(key, line);
  }
  return [...found.values()].sort((a, b) => (a.state === "ACTIVE" ? 1 : 0) - (b.state === "ACTIVE" ? 1 : 0)
    || (a.name.includes("-ae-") ? 1 : 0) - (b.name.includes("-ae-") ? 1 : 0) || a.name.localeCompare(b.name));
}

/** Application instances: the CSE, its exposed AEs, and whoever else the platform knows. */
export function instances(stack) {
  const platform = stack.platform || {};
  const listed = new Map((platform.apps || []).map(one => [one.id, one]));
  const states = new Map((platform.services || []).map(one => [one.appInstanceId, one.state]));
  const rows = [];
  const own = stack.adapter.app_instance_id;
  if (own) rows.push({ id: own, name: `CSE ${stack.cse.id}`, ae: "", phase: stack.adapter.mp1, state: (stack.adapter.services[0] || {}).state || "", trouble: stack.adapter.mp1Trouble });
  for (const one of stack.exposed || []) {
    rows.push({ id: one.app_instance_id, name: one.ae.split("/").slice(1).join("/"), ae: one.ae, phase: one.phase, state: one.state || one.phase, trouble: one.trouble });
  }
  const known = new Set(rows.map(one => one.id));
  for (const one of listed.values()) {
    if (!known.has(one.id)) rows.push({ id: one.id, name: one.name || one.id, ae: "", phase: one.state, state: states.get(one.id) || one.state, trouble: "" });
  }
  return rows;
}

/**
 * Everything on the map.
 * @param {object} stack the document
 * @param {import("./traffic.js").Traffic} seen what was seen to flow
 */
export function modelOf(stack, seen) {
  const all = entities(stack, seen);
  const devices = all.filter(ae => !ae.consumes);
  const consumers = all.filter(ae => ae.consumes);
  const made = groups(devices, stack.cse.bindings);
  const model = {
    cse: { id: "cse", ...stack.cse },
    groups: made.map(group => ({ ...group, listed: devices.length <= LISTED })),
    apps: consumers.slice(0, 4),
    moreApps: Math.max(0, consumers.length - 4),
    hidden: stack.aeCount - stack.aes.length,
    adapter: stack.adapter.state === "off" ? null : { id: "adapter", ...stack.adapter },
    platform: null,
    cloud: null,
    remotes: stack.cse.others.slice(0, 4).map(id => ({ id: `remote:${id}`, cse: id })),
    edges: [],
  };
  if (model.adapter && (stack.platform.apiRoot !== undefined || stack.adapter.mp1 !== "OFF")) {
    model.platform = { id: "platform", ...stack.platform, lines: alike(stack.platform.services || []), instances: instances(stack), known: Boolean(stack.platform.services), reached: stack.adapter.state === "up" && !stack.platform.trouble };
  }
  if (stack.cse.registrar || stack.cloud.state !== "off") {
    model.cloud = { id: "cloud", ...stack.cloud, registered: stack.cse.registered, sync: stack.sync.cloud && stack.sync.cloud !== "off" ? stack.sync : null };
  }
  for (const group of model.groups) model.edges.push({ id: `to:${group.id}`, from: group.id, to: "cse", binding: group.binding, members: group.members.map(one => one.aei) });
  for (const app of model.apps) {
    model.edges.push({ id: `to:${app.id}`, from: "cse", to: app.id, binding: "notify", word: "notify", notifies: app });
    if (model.platform) model.edges.push({ id: `finds:${app.id}`, from: app.id, to: "platform", binding: "mp1", faint: true, word: "" });
  }
  if (model.adapter) model.edges.push({ id: "mca", from: "cse", to: "adapter", binding: "mca", word: "Mca", members: ["Cmec-adapter", ...stack.aes.filter(ae => ae.role === "adapter").map(ae => ae.aei)], down: stack.adapter.state === "down" });
  if (model.platform) model.edges.push({ id: "mp1", from: "adapter", to: "platform", binding: "mp1", word: "Mp1", down: stack.adapter.state === "down" || Boolean(stack.platform.trouble) });
  if (model.cloud) {
    model.edges.push({ id: "mcc", from: "cse", to: "cloud", binding: "mcc", word: "Mcc", faint: stack.cse.registered, down: Boolean(stack.cse.registrar) && !stack.cse.registered });
    if (model.cloud.sync) model.edges.push({ id: "sync", from: "adapter", to: "cloud", binding: "sync", word: "sync", down: stack.sync.cloud === "down" });
  }
  for (const remote of model.remotes) model.edges.push({ id: `mcc:${remote.id}`, from: "cse", to: remote.id, binding: "mcc", faint: true, word: "Mcc" });
  return model;
}
