import * as Plot from "@observablehq/plot";
import { number } from "../text/format.js";
import { accessiblePlot, describeRows } from "./plot.js";

/** Most rows drawn per group. The card says how many are left out; the table has all. */
const GROUP_ROWS_MAX = 3;
const LINE = 40;

/**
 * A bar chart with labels above the bars and values at the end of the lines. The first column is the group, the last one the
 * value, a text column between them the label.
 */
export function barChart(rows, columns, width, isFresh) {
  const [group, value] = [columns[0].name, columns.at(-1).name];
  const label = columns.length > 2 ? columns[1].name : null;
  const lines = firstOfGroups(rows, group).map((row, at, all) => ({
    key: at,
    group: row[group],
    first: at === 0 || all[at - 1][group] !== row[group],
    label: label ? row[label] : "",
    value: row[value],
    fresh: isFresh(row),
  }));
  const left = Math.min(96, 14 + 8 * Math.max(...lines.map((line) => String(line.group).length)));
  const room = width - left - 12;
  const words = describeRows(lines, (line) => `${line.group}: ${line.label ? `${line.label}, ` : ""}${number(line.value)}`);
  const y = "key";
  const element = accessiblePlot(`Bars. ${words}`, {
    width,
    height: lines.length * LINE,
    margin: 0,
    marginLeft: left,
    // Space for the mark of a changed row.
    marginRight: 12,
    x: { domain: [0, Math.max(1, ...lines.map((line) => line.value))], axis: null },
    y: { domain: lines.map((line) => line.key), axis: null, padding: 0 },
    marks: [
      Plot.barX(lines, { x: "value", y, insetTop: 25, insetBottom: 7, fill: "var(--flow)" }),
      Plot.text(lines.filter((line) => line.first), {
        y,
        text: (line) => String(line.group),
        frameAnchor: "left",
        textAnchor: "start",
        dx: -left,
        dy: -4,
        fill: "var(--ink-2)",
      }),
      Plot.text(lines, {
        y,
        text: "label",
        frameAnchor: "left",
        textAnchor: "start",
        dy: -4,
        fill: "var(--ink)",
        fontWeight: 600,
        lineWidth: Math.max(6, room / 13 - 6),
        textOverflow: "ellipsis",
      }),
      Plot.text(lines, { y, text: (line) => number(line.value), frameAnchor: "right", textAnchor: "end", dy: -4, fill: "var(--ink)" }),
      Plot.dot(lines.filter((line) => line.fresh), { y, frameAnchor: "right", dx: 9, dy: -4, r: 2.5, fill: "var(--fresh)" }),
    ],
  });
  return { element, shown: lines.length };
}

/** The first rows of each group. */
function firstOfGroups(rows, group) {
  const seen = new Map();
  return rows.filter((row) => {
    const count = (seen.get(row[group]) ?? 0) + 1;
    seen.set(row[group], count);
    return count <= GROUP_ROWS_MAX;
  });
}
