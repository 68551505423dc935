import { h } from "../dom.js";
import { cellText } from "../text/cells.js";
import { readableName, withCount } from "../text/words.js";
import { linePanel, timePoints } from "./line_panel.js";

/** Most numbers drawn, each in a drawing of its own, because their units differ. */
const NUMBERS_MAX = 3;
const HEIGHT = 172;
const HEIGHT_OF_SEVERAL = 112;

/**
 * Numbers over time. A missing value and a missing time are gaps in the line.
 *
 * @param {import("../state/answers.js").Column} time
 * @param {import("../state/answers.js").Column[]} numbers
 */
export function lineChart(time, numbers) {
  const drawn = numbers.slice(0, NUMBERS_MAX);
  const rest = numbers.length - drawn.length;
  const names = [...drawn.map(({ name }, at) => (at === 0 ? readableName(name) : readableName(name).toLowerCase())), ...(rest > 0 ? [`${rest} more in the table`] : [])];
  const words = `${names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0]}, by ${readableName(time.name).toLowerCase()}`;
  return { kind: "line", words, draw: (rows, _columns, width, isFresh) => draw(rows, time, drawn, width, isFresh) };
}

function draw(rows, time, numbers, width, isFresh) {
  const { placed, unplaced } = splitByTime(rows, time);
  const height = numbers.length > 1 ? HEIGHT_OF_SEVERAL : HEIGHT;
  const panel = (value) => linePanel(timePoints(placed, time, value, isFresh), { time, value, width, height, title: readableName(value.name) });
  const figure = (value) => h("figure", { class: "panel-of-chart" }, numbers.length > 1 ? h("figcaption", {}, readableName(value.name)) : null, panel(value));
  const element = h("div", {}, ...(placed.length > 0 ? numbers.map(figure) : []), withoutTime(unplaced, time, numbers));
  return { element, shown: rows.length };
}

/** Rows with and without a time. */
export function splitByTime(rows, time) {
  const hasTime = (row) => row[time.name] !== null && row[time.name] !== undefined;
  return { placed: rows.filter(hasTime), unplaced: rows.filter((row) => !hasTime(row)) };
}

/** What cannot be drawn on the axis, in words. */
export function withoutTime(rows, time, numbers) {
  if (rows.length === 0) return null;
  const name = readableName(time.name).toLowerCase();
  const values = rows.length === 1 ? `: ${numbers.map((value) => `${readableName(value.name).toLowerCase()} ${cellText(rows[0][value.name], value)}`).join(", ")}` : "";
  return h("p", { class: "chart-note" }, `${withCount(rows.length, "row")} ${rows.length === 1 ? "has" : "have"} no ${name}${values}`);
}
