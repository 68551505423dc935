import { h, setText } from "../dom.js";
import { number } from "../text/format.js";

/** Most rows listed. The heading has the total. */
const LISTED_MAX = 12;

/**
 * Counts by name in descending order, each with a bar.
 *
 * @param {string} title
 * @param {string} nothing text while there are no counts
 */
export function breakdown(title, nothing) {
  const [list, note, empty] = [h("ul", { class: "breakdown" }), h("span", { class: "breakdown-note" }), h("p", { class: "empty" }, nothing)];
  const body = h("div", {}, empty);
  const element = h("div", { class: "breakdown-part" }, h("h3", {}, title, " ", note), body);
  let shown = "";
  return {
    element,
    /** @param {{label: string, count: number}[]} rows */
    update(rows) {
      const sorted = [...rows].sort((one, other) => other.count - one.count);
      const now = JSON.stringify(sorted);
      if (now === shown) return;
      shown = now;
      const listed = sorted.slice(0, LISTED_MAX);
      setText(note, listed.length < sorted.length ? `${number(listed.length)} of ${number(sorted.length)}` : "");
      list.replaceChildren(...listed.map((row) => line(row, sorted[0].count)));
      body.replaceChildren(sorted.length > 0 ? list : empty);
    },
  };
}

function line({ label, count }, most) {
  const measure = h("span", { class: "ranked-measure", "aria-hidden": "true" });
  // Set through the DOM: the content security policy forbids style attributes.
  measure.style.setProperty("--share", String(count / most));
  return h("li", {}, h("span", {}, label), h("span", { class: "numeric" }, number(count)), measure);
}
