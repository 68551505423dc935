import { h } from "../dom.js";
import { number } from "../text/format.js";

/** As many as are listed; the card says how many that leaves out, the table has all. */
const LISTED_MAX = 3;

/** An answer of one row is a sentence, not a chart. */
export function record(rows, columns, _width, isFresh) {
  const [place, value] = columns.map((column) => column.name);
  const listed = rows.slice(0, LISTED_MAX);
  const element = h(
    "div",
    { class: "record" },
    ...listed.map((row) =>
      h(
        "p",
        { class: isFresh(row) ? "fresh" : null },
        h("span", { class: "record-place" }, row[place]),
        h("span", { class: "record-value" }, number(row[value])),
        h("span", { class: "record-unit" }, "followers"),
      ),
    ),
  );
  return { element, shown: listed.length };
}
