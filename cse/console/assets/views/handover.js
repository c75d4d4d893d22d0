// Handover: moves of AEs between edge CSEs, their phases, and for how long no CSE served them.
import { clock } from "../dom.js";
import { badge, follow, note, table } from "../stack.js";

const OVER = new Set(["MOVED", "FAILED"]);
const WORDS = { PREPARING: "copied while the source serves", PREPARED: "ready to switch", SWITCHING: "switching: no CSE serves it", CLEANING: "served by the target", MOVED: "moved", FAILED: "stayed" };
const WIDTH = 240, HEIGHT = 26;

const millis = value => (value === undefined ? "" : `${(value * 1000).toFixed(value < 0.1 ? 1 : 0)} ms`);

/** The smallest value that a share of the values does not exceed. */
function percentile(values, share) {
  const ordered = [...values].sort((a, b) => a - b);
  return ordered.length ? ordered[Math.max(0, Math.ceil(ordered.length * share) - 1)] : undefined;
}

/** The phases of a move as a line; how long each took is in the words. */
function line(ctx, move) {
  const begin = move.steps[0].at;
  const end = OVER.has(move.phase) ? move.steps.at(-1).at : Math.max(move.steps.at(-1).at, Date.now() / 1000);
  const span = Math.max(end - begin, 0.001);
  const spans = move.steps.map((step, place) => ({ phase: step.phase, from: step.at, to: move.steps[place + 1]?.at ?? end })).filter(one => !OVER.has(one.phase));
  const words = spans.map(one => `${one.phase} ${millis(one.to - one.from)}`).join(", ");
  const { el } = ctx;
  return el("div", { class: "phases" }, el("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words, preserveAspectRatio: "none" },
    el("svg:title", null, words),
    spans.map(one => el("svg:rect", { class: `phase-${one.phase.toLowerCase()}`, x: (one.from - begin) / span * WIDTH, y: one.phase === "SWITCHING" ? 3 : 8, width: Math.max(2, (one.to - one.from) / span * WIDTH), height: one.phase === "SWITCHING" ? 20 : 10, rx: 2 }))));
}

class Handovers {
  constructor(root, ctx) {
    this.ctx = ctx;
    this._shown = "";
    const { el } = ctx;
    this.body = el("div", { class: "stacked" });
    root.append(el("h1", null, "Handover"),
      el("p", { class: "lead" }, "AEs that move from one edge CSE to another. The gap is the time from the fence at the source until the target serves the AE."),
      this.body);
    this._end = follow(ctx, (stack, history, trouble) => this.take(stack, trouble));
  }

  end() { this._end(); }

  take(stack, trouble) {
    const { ctx } = this;
    const { el } = ctx;
    const moves = stack?.moves || [];
    const sign = JSON.stringify([moves, trouble]);
    if (sign === this._shown) return;
    this._shown = sign;
    if (trouble) { ctx.replace(this.body, note(ctx, trouble, "bad")); return; }
    if (!moves.length) {
      ctx.replace(this.body, el("div", { class: "card empty" }, el("p", null, "No AE has moved from or to this CSE."),
        el("p", null, "Move one with ", el("code", null, `onemec handover --from <URL of a CSE> --to <URL of another> --ae <AE-ID>`), ", or when a MEC platform reports mobility: --on-mobility.")));
      return;
    }
    const now = moves.filter(one => !OVER.has(one.phase));
    const moved = moves.filter(one => one.phase === "MOVED");
    const gaps = moved.map(one => one.attach_s).filter(Number.isFinite);
    const figure = (label, value, more) => el("div", { class: "card" }, el("span", { class: "label" }, label), el("span", { class: "figure" }, value), more ? el("p", { class: "muted" }, more) : null);
    ctx.replace(this.body,
      el("div", { class: "figures" },
        figure("moving now", String(now.length)), figure("moved", String(moved.length)), figure("stayed", String(moves.filter(one => one.phase === "FAILED").length)),
        figure("gap, median", millis(percentile(gaps, 0.5)) || "–", gaps.length ? `95 of 100 below ${millis(percentile(gaps, 0.95))}` : "")),
      now.length ? el("section", { class: "card" }, el("h2", null, "Moving now"), this.list("Moves under way", now)) : null,
      el("section", { class: "card" }, el("h2", null, "Past moves"), this.list("Past moves", moves.filter(one => OVER.has(one.phase))),
        el("div", { class: "legend" }, ["PREPARING", "SWITCHING", "CLEANING"].map(phase => el("span", null, el("span", { class: `key phase-${phase.toLowerCase()}` }), WORDS[phase])))));
  }

  list(caption, moves) {
    const { ctx } = this;
    const here = ctx.settings.session?.cse.id;
    const way = move => (move.from === here ? `to ${move.to}` : move.to === here ? `from ${move.from}` : `${move.from} to ${move.to}`);
    return table(ctx, caption, ["AE", "way", "phase", "began", "phases", { title: "gap", number: true }, { title: "copied", number: true }, { title: "at the end", number: true }, "trouble"],
      moves.map(move => [move.aeId, way(move), badge(ctx, move.phase), clock(move.steps[0].at), line(ctx, move), move.phase === "FAILED" ? "" : millis(move.attach_s), move.copied === undefined || move.phase === "FAILED" ? "" : String(move.copied), move.late === undefined || move.phase === "FAILED" ? "" : String(move.late), move.trouble || (move.undelivered ? `${move.undelivered} notifications were not answered` : "")]), "none");
  }
}

export default {
  id: "handover",
  title: "Handover",
  roles: null,
  mount(root, ctx) {
    const view = new Handovers(root, ctx);
    return () => view.end();
  },
};
