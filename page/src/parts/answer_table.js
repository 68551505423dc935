import { cellNode } from "../text/cells.js";
import { isYear, readableName } from "../text/words.js";
import { sortableTable } from "./table.js";

/**
 * A table of an answer's rows.
 *
 * @param {string} caption
 * @param {import("../state/answers.js").Column[]} columns
 */
export const answerTable = (caption, columns) => sortableTable(caption, columns.map(heading));

/** Heading and format of a column. Years are names: no thousands separators, left-aligned. */
function heading(column) {
  const { name, type } = column;
  const numeric = (type === "long" || type === "double") && !isYear(name);
  return { key: name, title: readableName(name), numeric, shown: (value) => cellNode(value, column) };
}
