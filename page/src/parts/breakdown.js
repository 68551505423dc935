import { h, write } from "../dom.js";
import { number } from "../text/format.js";

/** As many as are listed; the heading says how many there are. */
const LISTED_MAX = 12;

/**
 * Counts by name, the greatest first, each with a bar.
 *
 * @param {string} title
 * @param {string} nothing what to say while there are none
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
      write(note, listed.length < sorted.length ? `${number(listed.length)} of ${number(sorted.length)}` : "");
      list.replaceChildren(...listed.map((row) => line(row, sorted[0].count)));
      body.replaceChildren(sorted.length > 0 ? list : empty);
    },
  };
}

function line({ label, count }, most) {
  const measure = h("span", { class: "ranked-measure", "aria-hidden": "true" });
  // Through the object model: the page's policy refuses style attributes.
  measure.style.setProperty("--share", String(count / most));
  return h("li", {}, h("span", {}, label), h("span", { class: "numeric" }, number(count)), measure);
}
