// Makes DOM nodes. Text is always a text node: what devices and people write is never markup.

/**
 * An element.
 * @param {string} tag its name; "svg:line" for one of SVG
 * @param {object|null} props attributes; `class`, `dataset`, `on` ({click: f}) and properties that are booleans
 * @param {...(Node|string|number|null|undefined|Array)} children nodes and texts
 */
export function el(tag, props, ...children) {
  const svg = tag.startsWith("svg:");
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "value" && !svg) node.value = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false) node.setAttribute(name, String(value));
  }
  fill(node, children);
  return node;
}

/** Put children into a node in place of what it has. */
export function replace(node, ...children) {
  node.replaceChildren();
  fill(node, children);
  return node;
}

function fill(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** A time of day, with tenths of seconds. @param {number} seconds since the epoch */
export function clock(seconds) {
  const time = new Date(seconds * 1000);
  const two = number => String(number).padStart(2, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${Math.floor(time.getMilliseconds() / 100)}`;
}

/** The Date of a oneM2M timestamp such as 20261123T101500,123456; null when it is none. */
export function fromTimestamp(text) {
  const m = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?:[,.](\d{1,9}))?$/.exec(text || "");
  if (!m) return null;
  const millis = m[7] ? Number(`0.${m[7]}`) * 1000 : 0;
  return new Date(Date.UTC(+m[1], m[2] - 1, +m[3], +m[4], +m[5], +m[6]) + millis);
}

/** A oneM2M timestamp of a Date. */
export function toTimestamp(date) {
  return date.toISOString().replace(/[-:]/g, "").replace(".", ",").replace("Z", "000");
}

/** Anything as one short line of text. */
export function brief(value, most = 60) {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  return text.length > most ? text.slice(0, most - 1) + "…" : text;
}
