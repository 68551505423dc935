import { h } from "../dom.js";
import { number } from "../text/format.js";

/** As many as are listed; the card says how many that leaves out, the table has all. */
const LISTED_MAX = 10;

/** The greatest first: where, what, how many, and a measure of it. A list, so it needs no other words. */
export function ranked(rows, columns, _width, isFresh) {
  const [place, label, value] = columns.map((column) => column.name);
  const first = [...rows].sort((one, other) => other[value] - one[value]).slice(0, LISTED_MAX);
  const most = Math.max(1, ...first.map((row) => row[value]));
  const element = h("ol", { class: "ranked" }, ...first.map((row) => line(row[place], row[label], row[value], most, isFresh(row))));
  return { element, shown: first.length };
}

function line(place, label, value, most, fresh) {
  const measure = h("span", { class: "ranked-measure", "aria-hidden": "true" });
  // Through the object model: the page's policy refuses style attributes.
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
