// The resource types as the CSE knows them, read once, and how their representations are read.

let known = null;

/** Types by number: {name, root, children, instance}. */
export function types(ctx) {
  known ??= ctx.api("types").then(answer => answer.types).catch(error => { known = null; throw error; });
  return known;
}

/** The attributes in {"m2m:cnt": {...}}. */
export function attributesOf(content) {
  const values = Object.values(content || {});
  return values.length === 1 && values[0] && typeof values[0] === "object" ? values[0] : {};
}

/** Whether a type holds instances that have a latest one. */
export const holdsValues = ty => ty === 3 || ty === 29;

/** A primitive that asks for children of a resource that are no instances, by pages. */
export function childrenOf(to, numbers, offset, limit) {
  return { op: 2, to, rcn: 6, fc: { fu: 1, lvl: 1, lim: limit, ofst: offset, ty: numbers } };
}

/** The words of an answer that is no success; "" for one that is. */
export function refusal(answer) {
  if (answer.rsc >= 2000 && answer.rsc < 3000) return "";
  return `${answer.rsc}: ${answer.pc?.["m2m:dbg"] || "no reason is given"}`;
}
