import { h } from "../dom.js";
import { cellNode } from "../text/cells.js";
import { readableName } from "../text/words.js";

/** The values of one row, large, each with its name. */
export function bigFigures() {
  return { kind: "figures", words: "", draw };
}

function draw(rows, columns, _width, isFresh) {
  const listed = rows.slice(0, 1);
  const figure = (row) => (column) => h("div", { class: isNumber(column) ? "figure-number" : "figure-text" }, h("dt", {}, readableName(column.name)), h("dd", {}, cellNode(row[column.name], column)));
  const element = h("div", {}, ...listed.map((row) => h("dl", { class: isFresh(row) ? "big-figures fresh" : "big-figures" }, ...columns.map(figure(row)))));
  return { element, shown: listed.length };
}

const isNumber = ({ type }) => type === "long" || type === "double";
