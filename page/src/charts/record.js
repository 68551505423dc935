import { h } from "../dom.js";
import { number } from "../text/format.js";

/** An answer of one row is a sentence, not a chart. */
export function record(rows, columns, _width, isFresh) {
  const [place, value] = columns.map((column) => column.name);
  return h(
    "div",
    { class: "record" },
    ...rows.slice(0, 3).map((row) =>
      h(
        "p",
        { class: isFresh(row) ? "fresh" : null },
        h("span", { class: "record-place" }, row[place]),
        h("span", { class: "record-value" }, number(row[value])),
        h("span", { class: "record-unit" }, "followers"),
      ),
    ),
  );
}
