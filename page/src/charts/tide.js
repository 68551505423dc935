import * as Plot from "@observablehq/plot";
import { clock, number, rate, short } from "../text/format.js";
import { drawing } from "./plot.js";

/**
 * A figure over the last minutes, as an area.
 *
 * @param {import("../state/history.js").Point[]} points
 * @param {"rate" | "lag"} of
 */
export function tide(points, of, { width, height, title }) {
  const shown = points.map(({ at, [of]: value }) => ({ at: new Date(at), value }));
  const known = shown.filter(({ value }) => value !== null);
  // A scale of fractions would make waves of nothing.
  const most = Math.max(10, ...known.map(({ value }) => value));
  const [first, last] = [shown[0].at, shown.at(-1).at];
  // At least a minute is laid out, so that the first looks do not fill the whole width.
  const begin = new Date(Math.min(first.getTime(), last.getTime() - 60_000));
  const value = known.at(-1)?.value;
  const words = `${title} from ${clock(first)} to ${clock(last)}: now ${rate(value)}, at most ${number(Math.round(Math.max(...known.map(({ value: one }) => one))))}.`;
  return drawing(words, {
    width,
    height,
    margin: 0,
    marginTop: 8,
    marginBottom: 24,
    marginLeft: 46,
    marginRight: 30,
    x: { type: "time", domain: [begin, last], ticks: Math.min(5, Math.max(2, Math.round(width / 150))), tickSize: 0, tickFormat: clock, label: null },
    y: { domain: [0, most], nice: true, ticks: height > 110 ? 4 : 2, tickSize: 0, tickFormat: short, label: null },
    marks: [
      Plot.gridY({ stroke: "var(--rule)", strokeOpacity: 1, ticks: height > 110 ? 4 : 2 }),
      Plot.areaY(shown, { x: "at", y: "value", fill: of === "rate" ? "var(--water-2)" : "var(--buff)", curve: "monotone-x" }),
      Plot.lineY(shown, { x: "at", y: "value", stroke: of === "rate" ? "var(--flow)" : "var(--buff-line)", strokeWidth: 1.75, curve: "monotone-x" }),
      Plot.dot(known.slice(-1), { x: "at", y: "value", r: 3.5, fill: of === "rate" ? "var(--flow)" : "var(--buff-line)" }),
    ],
  });
}
