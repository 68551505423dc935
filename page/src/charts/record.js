import { h } from "../dom.js";
import { number } from "../text/format.js";

/** Most rows listed. The card says how many are left out; the table has all. */
const LISTED_MAX = 3;

/** An answer of one row, shown as text. */
export function singleValue(rows, columns, _width, isFresh) {
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
