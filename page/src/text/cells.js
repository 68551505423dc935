import { h } from "../dom.js";
import { exact, moment, number } from "./format.js";
import { isYear } from "./words.js";

/** The text of a value of an answer. Years are names: they have no thousands separators. */
export function cellText(value, { name, type }) {
  if (value === null || value === undefined) return "null";
  if (type === "timestamp") return moment(value);
  if (type === "double") return exact(value);
  return type === "long" && !isYear(name) ? number(value) : String(value);
}

/** A value of an answer. A missing one differs from the text "null". */
export function cellNode(value, column) {
  const text = cellText(value, column);
  return value === null || value === undefined ? h("em", { class: "absent", title: "no value" }, text) : document.createTextNode(text);
}
