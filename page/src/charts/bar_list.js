import { h } from "../dom.js";
import { cellNode } from "../text/cells.js";
import { readableName } from "../text/words.js";

/** Most rows drawn. The card says how many are left out; the table has all. */
const BARS_MAX = 10;
/** The same with two grouping columns, which need more room. */
const GROUPED_BARS_MAX = 8;

/**
 * A bar for each row, in the order of the answer. With two grouping columns, rows that follow each other and have the same
 * value in the first one stand below that value.
 *
 * @param {import("../state/answers.js").Column[]} groups one or two
 * @param {import("../state/answers.js").Column} value
 */
export function barList(groups, value) {
  const by = groups.map(({ name }) => readableName(name).toLowerCase()).join(" and ");
  const words = `${readableName(value.name)}, by ${by}`;
  return { kind: groups.length === 1 ? "bars" : "grouped bars", words, draw: (rows, _columns, _width, isFresh) => draw(rows, groups, value, isFresh) };
}

function draw(rows, groups, value, isFresh) {
  const listed = rows.slice(0, groups.length === 1 ? BARS_MAX : GROUPED_BARS_MAX);
  const scale = barScale(listed.map((row) => row[value.name]));
  const bar = (row) => barItem(row, groups.at(-1), value, scale(row[value.name]), isFresh(row));
  const element = groups.length === 1 ? h("ol", { class: "bars" }, ...listed.map(bar)) : groupedBars(listed, groups[0], bar);
  return { element, shown: listed.length };
}

function groupedBars(rows, group, bar) {
  const runs = [];
  for (const row of rows) {
    if (runs.at(-1)?.[0][group.name] === row[group.name]) runs.at(-1).push(row);
    else runs.push([row]);
  }
  const part = (run) => h("li", {}, h("p", { class: "bar-group" }, cellNode(run[0][group.name], group)), h("ol", { class: "bars" }, ...run.map(bar)));
  return h("ol", { class: "bar-groups" }, ...runs.map(part));
}

function barItem(row, label, value, bar, fresh) {
  return h(
    "li",
    { class: fresh ? "fresh" : null },
    h("span", { class: "bar-label" }, cellNode(row[label.name], label)),
    h("span", { class: "ranked-value" }, cellNode(row[value.name], value)),
    barMeasure(bar),
  );
}

/** The bar itself. Without a value there is a track, but no bar. */
function barMeasure(bar) {
  const measure = h("span", { class: bar === null ? "bar-track bar-absent" : "bar-track", "aria-hidden": "true" });
  if (bar === null) return measure;
  const fill = h("span", { class: bar.negative ? "bar-fill bar-negative" : "bar-fill" });
  // Set through the DOM: the content security policy forbids style attributes.
  fill.style.setProperty("--from", String(bar.from));
  fill.style.setProperty("--share", String(bar.share));
  measure.append(fill);
  return measure;
}

/**
 * Where each bar begins and how long it is, as shares of the width. All bars start at zero, which lies inside if there are
 * negative values. Null for a missing value.
 *
 * @param {(number | null)[]} values
 * @returns {(value: number | null) => {from: number, share: number, negative: boolean} | null}
 */
export function barScale(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  const [low, high] = [Math.min(0, ...known), Math.max(0, ...known)];
  const span = high - low || 1;
  return (value) => {
    if (value === null || value === undefined) return null;
    return { from: (Math.min(0, value) - low) / span, share: Math.abs(value) / span, negative: value < 0 };
  };
}
