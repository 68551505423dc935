import * as Plot from "@observablehq/plot";
import { compareValues } from "../state/answers.js";
import { number, short } from "../text/format.js";
import { accessiblePlot, describeRows } from "./plot.js";
import { yearsOf } from "./years.js";

const STEPS = [1, 2, 3, 4, 5, 6];

/**
 * A heat map of two grouping columns and a number. Colours go by rank, which the card says. A cell without a row has a dash
 * and no colour.
 */
export function heatMap(rows, columns, width) {
  const [down, across, value] = columns.map((column) => column.name);
  const domain = (name) => [...new Set(rows.map((row) => row[name]))].sort(compareValues);
  const [groups, years] = [domain(down), yearsOf(rows.map((row) => row[across]))];
  const left = 14 + 8 * Math.max(...groups.map((group) => String(group).length));
  const cell = (width - left) / years.length;
  const step = steps(rows.map((row) => row[value]));
  const at = { x: across, y: down };
  const written = cell > 76 ? number : short;
  const room = cell >= 30;
  const held = new Set(rows.map((row) => `${row[down]} ${row[across]}`));
  const missing = groups.flatMap((group) => years.map((year) => ({ [down]: group, [across]: year }))).filter((cell) => !held.has(`${cell[down]} ${cell[across]}`));
  const element = accessiblePlot(`Heat map, coloured by rank. ${describeRows(rows, (row) => `${row[down]}, joined ${row[across]}: ${number(row[value])}`)}`, {
    width,
    height: 30 + groups.length * 46,
    margin: 0,
    marginLeft: left,
    marginBottom: 30,
    x: { domain: years, axis: null, paddingInner: 0.02, paddingOuter: 0 },
    y: { domain: groups, axis: null, paddingInner: 0.06, paddingOuter: 0 },
    marks: [
      Plot.cell(rows, { ...at, fill: (row) => `var(--water-${step(row[value])})` }),
      Plot.text(room ? rows : [], { ...at, text: (row) => written(row[value]), fill: (row) => `var(--on-water-${step(row[value])})` }),
      Plot.text(missing, { ...at, text: () => "–", fill: "var(--ink-2)" }),
      Plot.text(groups, { y: (group) => group, text: (group) => group, frameAnchor: "left", textAnchor: "start", dx: -left, fill: "var(--ink-2)" }),
      Plot.text(years, { x: (year) => year, text: (year) => String(year), frameAnchor: "bottom", dy: 22, fill: "var(--ink-2)" }),
    ],
  });
  return { element, shown: rows.length };
}

/** Colour step of a number by its rank: follower counts differ by orders of magnitude. */
function steps(values) {
  const sorted = [...new Set(values)].sort((one, other) => one - other);
  return (value) => STEPS[Math.floor((sorted.indexOf(value) / Math.max(1, sorted.length - 1)) * (STEPS.length - 1))];
}
