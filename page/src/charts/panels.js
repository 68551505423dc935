import { h } from "../dom.js";
import { cellNode, cellText } from "../text/cells.js";
import { readableName } from "../text/words.js";
import { linePanel, timePoints, valueDomain } from "./line_panel.js";
import { splitByTime, withoutTime } from "./lines.js";

const HEIGHT = 92;
/** Panels stand side by side if each has this width, pixels. */
const WIDTH_MIN = 260;
/** Most panels side by side. */
const COLUMNS_MAX = 4;

/**
 * Small multiples: a line over time for each value of a grouping column, all on the same scales. The greatest come first.
 *
 * @param {import("../state/answers.js").Column} group
 * @param {import("../state/answers.js").Column} time
 * @param {import("../state/answers.js").Column} value
 */
export function panels(group, time, value) {
  const words = `${readableName(value.name)}, by ${readableName(time.name).toLowerCase()}, for each ${readableName(group.name).toLowerCase()}`;
  return { kind: "panels", words, draw: (rows, _columns, width, isFresh) => draw(rows, { group, time, value }, width, isFresh) };
}

function draw(rows, { group, time, value }, width, isFresh) {
  const { placed, unplaced } = splitByTime(rows, time);
  const all = timePoints(placed, time, value, isFresh);
  const series = seriesBy(all, group);
  const total = (points) => points.reduce((sum, point) => sum + (point.value ?? 0), 0);
  const sorted = [...series].sort(([, one], [, other]) => total(other) - total(one));
  const columns = Math.max(1, Math.min(sorted.length, COLUMNS_MAX, Math.floor(width / WIDTH_MIN)));
  const scales = {
    xDomain: [Math.min(...all.map(({ x }) => x)), Math.max(...all.map(({ x }) => x))],
    yDomain: valueDomain(all.flatMap((point) => (point.value === null ? [] : [point.value]))),
  };
  const panel = ([name, points]) =>
    h(
      "figure",
      { class: "panel-of-chart" },
      h("figcaption", {}, cellNode(name, group)),
      linePanel(points, { time, value, width: width / columns - 12, height: HEIGHT, title: `${cellText(name, group)}: ${readableName(value.name)}`, ...scales }),
    );
  const element = h("div", {}, h("div", { class: `panels-of-chart columns-${columns}` }, ...sorted.map(panel)), withoutTime(unplaced, time, [value]));
  return { element, shown: rows.length };
}

function seriesBy(points, { name }) {
  const series = new Map();
  for (const point of points) {
    const value = point.row[name];
    if (!series.has(value)) series.set(value, []);
    series.get(value).push(point);
  }
  return series;
}
