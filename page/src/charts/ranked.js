import { h } from "../dom.js";
import { number } from "../text/format.js";

/** Most rows listed. The card says how many are left out; the table has all. */
const LISTED_MAX = 10;

/** A list in descending order with a bar for each value. Lists need no description for screen readers. */
export function rankedList(rows, columns, _width, isFresh) {
  const [place, label, value] = columns.map((column) => column.name);
  const first = [...rows].sort((one, other) => other[value] - one[value]).slice(0, LISTED_MAX);
  const most = Math.max(1, ...first.map((row) => row[value]));
  const element = h("ol", { class: "ranked" }, ...first.map((row) => line(row[place], row[label], row[value], most, isFresh(row))));
  return { element, shown: first.length };
}

function line(place, label, value, most, fresh) {
  const measure = h("span", { class: "ranked-measure", "aria-hidden": "true" });
  // Set through the DOM: the content security policy forbids style attributes.
  measure.style.setProperty("--share", String(value / most));
  return h(
    "li",
    { class: fresh ? "fresh" : null },
    h("span", { class: "ranked-place" }, place),
    h("span", { class: "ranked-value" }, number(value)),
    h("span", { class: "ranked-label" }, label),
    measure,
  );
}
