// What is seen to flow: requests and notifications of the last seconds, by who sent them, and totals that grow.

const WINDOW_S = 5;
const stem = id => String(id || "").split("/").pop();

/** Counts events in a window that slides. */
class Window {
  constructor() { this.times = []; }

  add(now) { this.times.push(now); }

  rate(now) {
    while (this.times.length && this.times[0] < now - WINDOW_S) this.times.shift();
    return this.times.length / WINDOW_S;
  }
}

/** Rates per second by entity, by binding and by edge. */
export class Traffic {
  constructor() {
    this._senders = new Map();
    this._bindings = new Map();
    this._subscriptions = new Map();
    this._targets = new Map();
    this._sent = new Map();
    this._totals = new Map();
  }

  /** Over which binding an entity was last seen, "" when it was not. */
  bindingOf(aei) { return this._bindings.get(stem(aei)) || ""; }

  /** A request was served; returns who sent it. */
  request(record, now) {
    const who = stem(record.request.fr);
    if (record.binding === "console" || record.binding === "internal") return "";
    if (who) this._bindings.set(who, record.binding);
    this._at(this._senders, who).add(now);
    this._at(this._sent, record.binding).add(now);
    return who;
  }

  /** A notification went out; returns by which subscription. */
  delivery(record, now) {
    if (record.result !== "delivered") return "";
    this._at(this._subscriptions, record.subscription).add(now);
    this._at(this._targets, stem(record.receiver)).add(now);
    return record.subscription;
  }

  /** A total that somebody else counts. */
  total(name, value, at) {
    const list = this._totals.get(name) || [];
    if (!list.length || list[list.length - 1][0] < at) list.push([at, value]);
    while (list.length > 2 && list[0][0] < at - WINDOW_S) list.shift();
    this._totals.set(name, list);
  }

  rateOfTotal(name) {
    const list = this._totals.get(name) || [];
    if (list.length < 2) return 0;
    const [first, last] = [list[0], list[list.length - 1]];
    return Math.max(0, (last[1] - first[1]) / (last[0] - first[0]));
  }

  rateOfBinding(binding, now) { return this._sent.get(binding)?.rate(now) || 0; }

  rateOf(aei, now) { return this._senders.get(stem(aei))?.rate(now) || 0; }

  /** The rate on an edge of the model. */
  rateOn(edge, now) {
    if (edge.id === "sync") return this.rateOfTotal("forwarded");
    if (edge.id === "mp1") return this.rateOfTotal("mp1");
    if (edge.notifies) {
      const bySubscription = edge.notifies.subscriptions.reduce((sum, ri) => sum + (this._subscriptions.get(ri)?.rate(now) || 0), 0);
      return bySubscription || this._targets.get(stem(edge.notifies.aei))?.rate(now) || 0;
    }
    return (edge.members || []).reduce((sum, aei) => sum + this.rateOf(aei, now), 0);
  }

  _at(map, key) {
    if (!map.has(key)) {
      if (map.size > 5000) map.clear();
      map.set(key, new Window());
    }
    return map.get(key);
  }
}

export { stem };
