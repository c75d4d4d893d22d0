// Values of a holder (container, timeSeries) over a span of time: all of them, or evenly chosen ones where there are many.
import { fromTimestamp, toTimestamp } from "./dom.js";
import { numbersIn } from "./chart.js";
import { attributesOf, refusal } from "./types.js";

/** So many are shown one by one; where there are more, spans are halved up to DEEPEST times and each gives SOME. */
const ALL = 1000;
const SOME = 200;
const DEEPEST = 4;

/** Spans to choose from: milliseconds and words. */
export const SPANS = [[60e3, "1 minute"], [300e3, "5 minutes"], [3600e3, "1 hour"], [86400e3, "1 day"], [0, "everything"]];

/** The point of a chart for the attributes of an instance; null when it holds no number. */
export function pointOf(attributes) {
  const values = numbersIn(attributes.con);
  const at = fromTimestamp(attributes.dgt || attributes.ct);
  return at && Object.keys(values).length ? { t: at.getTime(), values } : null;
}

/**
 * The points of a holder, oldest first, the newest among them.
 * @param {object} ctx of the view
 * @param {{address: string, ty: number}} holder a container or a timeSeries
 * @param {number} span milliseconds back from now; 0: everything
 */
export async function readPoints(ctx, holder, span, signal) {
  const number = holder.ty === 29 ? 30 : 4;
  const now = Date.now();

  async function page(from, to, limit) {
    const bounds = { ...(from ? { cra: toTimestamp(new Date(from)) } : {}), ...(to < now ? { crb: toTimestamp(new Date(to)) } : {}) };
    const answer = await ctx.ask({ op: 2, to: holder.address, rcn: 8, fc: { ty: [number], lim: limit, lvl: 1, ...bounds } }, signal);
    return refusal(answer) ? [] : Object.values(attributesOf(answer.pc)).find(Array.isArray) || [];
  }

  async function some(from, to, depth) {
    const found = await page(from, to, SOME);
    if (found.length < SOME || depth === 0) return found;
    const middle = (from + to) / 2;
    return [...await some(from, middle, depth - 1), ...await some(middle, to, depth - 1)];
  }

  let found = await page(span ? now - span : 0, now, ALL);
  if (found.length >= ALL) {
    const begin = span ? now - span : fromTimestamp(found[0].ct).getTime() - 1;
    found = await some(begin, now, DEEPEST);
    const newest = await ctx.ask({ op: 2, to: `${holder.address}/la` }, signal);
    const last = attributesOf(newest.pc);
    if (!refusal(newest) && last.ri !== found.at(-1)?.ri) found.push(last);
  }
  return found.map(pointOf).filter(Boolean);
}
