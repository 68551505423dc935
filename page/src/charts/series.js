import * as Plot from "@observablehq/plot";
import { number, short } from "../text/format.js";
import { accessiblePlot, describeRows } from "./plot.js";
import { yearsOf } from "./years.js";

const HEIGHT = 196;
/** Up to this many years are drawn as columns, more as a line. */
const COLUMNS_MAX = 8;

/** A number by year. A year without a row is a gap with a dash. */
export function yearChart(rows, columns, width, isFresh) {
  const [year, value] = columns.map((column) => column.name);
  const years = yearsOf(rows.map((row) => row[year]));
  const marks = years.length <= COLUMNS_MAX ? columnMarks : lineMarks;
  const written = width / years.length > 64 ? number : short;
  const labelled = { x: year, y: value, text: (row) => written(row[value]), dy: -12, fill: "var(--ink)", fontWeight: 600, stroke: "var(--paper)", strokeWidth: 5 };
  const known = new Set(rows.map((row) => row[year]));
  const missing = years.filter((one) => !known.has(one));
  const svg = accessiblePlot(`${years.length <= COLUMNS_MAX ? "Columns" : "Line"} by year. ${describeRows(rows, (row) => `${row[year]}: ${number(row[value])}`)}${absent(missing)}`, {
    width,
    height: HEIGHT,
    margin: 0,
    marginTop: 30,
    marginBottom: 28,
    marginLeft: 12,
    marginRight: 12,
    x: years.length <= COLUMNS_MAX ? { type: "band", domain: years, axis: null, paddingInner: 0.35, paddingOuter: 0.2 } : { type: "point", domain: years, axis: null, padding: 0.25 },
    y: { domain: [0, Math.max(1, ...rows.map((row) => row[value]))], axis: null },
    marks: [
      ...marks({ rows, years, year, value, isFresh }),
      Plot.ruleY([0], { stroke: "var(--rule)" }),
      Plot.text(rows.filter(worthLabel(rows, value, width / years.length)), labelled),
      Plot.text(missing, { x: (one) => one, text: () => "–", frameAnchor: "bottom", dy: -8, fill: "var(--ink-2)" }),
      Plot.text(years.filter((_, at) => at % Math.ceil((30 * years.length) / width) === 0), { x: (one) => one, text: yearLabel(width / years.length), frameAnchor: "bottom", dy: 20, fill: "var(--ink-2)" }),
    ],
  });
  return { element: svg, shown: rows.length };
}

function columnMarks({ rows, year, value, isFresh }) {
  return [
    Plot.barY(rows, { x: year, y1: 0, y2: value, fill: "var(--flow)" }),
    // Above the number.
    Plot.dot(rows.filter(isFresh), { x: year, y: value, dy: -25, r: 2.5, fill: "var(--fresh)" }),
  ];
}

function lineMarks({ rows, years, year, value, isFresh }) {
  const known = new Map(rows.map((row) => [row[year], row]));
  const line = years.map((one) => known.get(one) ?? { [year]: one, [value]: null });
  return [
    // Give both edges: Plot stacks an area with one edge, and stacking treats null as 0.
    Plot.areaY(line, { x: year, y1: 0, y2: value, fill: "var(--water-1)" }),
    Plot.lineY(line, { x: year, y: value, stroke: "var(--flow)", strokeWidth: 2 }),
    Plot.dot(rows, { x: year, y: value, r: 4, fill: (row) => (isFresh(row) ? "var(--fresh)" : "var(--flow)"), stroke: "var(--paper)", strokeWidth: 1.5 }),
  ];
}

/** If there is no room for all labels, only the largest and the last value are labelled. */
function worthLabel(rows, value, room) {
  const most = Math.max(...rows.map((row) => row[value]));
  return (row, at) => room >= 30 || row[value] === most || at === rows.length - 1;
}

/** `2018`, or `’18` if there is no room. */
const yearLabel = (room) => (one) => (room < 34 && one > 999 ? `’${String(one % 100).padStart(2, "0")}` : String(one));

const absent = (missing) => (missing.length > 0 ? ` No rows for ${missing.slice(0, 8).join(", ")}${missing.length > 8 ? " and others" : ""}.` : "");
