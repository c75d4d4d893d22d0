// Values of a holder (container, timeSeries) over a span of time, read by pages and added to as they come.
import { fromTimestamp, toTimestamp } from "./dom.js";
import { numbersIn } from "./chart.js";
import { attributesOf, refusal } from "./types.js";

const PAGE = 500;
const MOST = 5000;

/** Spans to choose from: milliseconds and words. */
export const SPANS = [[60e3, "1 minute"], [300e3, "5 minutes"], [3600e3, "1 hour"], [86400e3, "1 day"], [0, "everything"]];

/** The point of a chart for the attributes of an instance; null when it holds no number. */
export function pointOf(attributes) {
  const values = numbersIn(attributes.con);
  const at = fromTimestamp(attributes.dgt || attributes.ct);
  return at && Object.keys(values).length ? { t: at.getTime(), values } : null;
}

/**
 * The points of a holder, oldest first.
 * @param {object} ctx of the view
 * @param {{address: string, ty: number}} holder a container or a timeSeries
 * @param {number} span milliseconds back from now; 0: everything
 */
export async function readPoints(ctx, holder, span, signal) {
  const number = holder.ty === 29 ? 30 : 4;
  const since = span ? { cra: toTimestamp(new Date(Date.now() - span)) } : {};
  const points = [];
  for (let offset = 1; offset <= MOST; offset += PAGE) {
    const answer = await ctx.ask({ op: 2, to: holder.address, rcn: 8, fc: { ty: [number], lim: PAGE, ofst: offset, lvl: 1, ...since } }, signal);
    if (refusal(answer)) return points;
    const found = Object.values(attributesOf(answer.pc)).find(Array.isArray) || [];
    for (const one of found) {
      const point = pointOf(one);
      if (point) points.push(point);
    }
    if (found.length < PAGE) break;
  }
  return points;
}
