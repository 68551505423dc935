import * as Plot from "@observablehq/plot";
import { number, short } from "../text/format.js";
import { drawing, spoken } from "./plot.js";
import { yearsOf } from "./years.js";

const HEIGHT = 196;

/** A figure by year: a line whose points say what they are. */
export function series(rows, columns, width, isFresh) {
  const [year, value] = columns.map((column) => column.name);
  const years = yearsOf(rows.map((row) => row[year]));
  const known = new Map(rows.map((row) => [row[year], row]));
  const line = years.map((one) => known.get(one) ?? { [year]: one, [value]: null });
  const most = Math.max(1, ...rows.map((row) => row[value]));
  const written = width / years.length > 64 ? number : short;
  const at = { x: year, y: value };
  return drawing(`Series. ${spoken(rows, (row) => `${row[year]}: ${number(row[value])}`)}`, {
    width,
    height: HEIGHT,
    margin: 0,
    marginTop: 30,
    marginBottom: 28,
    marginLeft: 24,
    marginRight: 24,
    x: { type: "point", domain: years, axis: null, padding: 0.25 },
    y: { domain: [0, most], axis: null },
    marks: [
      Plot.areaY(line, { ...at, fill: "var(--water-1)" }),
      Plot.ruleY([0], { stroke: "var(--rule)" }),
      Plot.ruleX(rows, { x: year, y: value, stroke: "var(--water-3)" }),
      Plot.lineY(line, { ...at, stroke: "var(--flow)", strokeWidth: 2 }),
      Plot.dot(rows, { ...at, r: 4, fill: (row) => (isFresh(row) ? "var(--fresh)" : "var(--flow)"), stroke: "var(--paper)", strokeWidth: 1.5 }),
      Plot.text(rows, { ...at, text: (row) => written(row[value]), dy: -14, fill: "var(--ink)", fontWeight: 600, stroke: "var(--paper)", strokeWidth: 5 }),
      Plot.text(years, { x: (one) => one, text: (one) => String(one), frameAnchor: "bottom", dy: 20, fill: "var(--ink-2)" }),
    ],
  });
}
