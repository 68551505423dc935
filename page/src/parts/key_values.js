import { h, setText } from "../dom.js";

/**
 * A list of keys and values that updates only changed values.
 *
 * @param {HTMLElement} list a `dl`
 */
export function keyValues(list) {
  const held = new Map();
  return (/** @type {[term: string, value: string, more?: string][]} */ now) => {
    for (const [term, value, more = ""] of now) {
      let pair = held.get(term);
      if (!pair) {
        const [dd, small] = [h("span", { class: "pair-value" }), h("span", { class: "pair-more" })];
        pair = { dd, small, element: h("div", {}, h("dt", {}, term), h("dd", {}, dd, small)) };
        held.set(term, pair);
        list.append(pair.element);
      }
      setText(pair.dd, value);
      setText(pair.small, more);
    }
    const terms = now.map(([term]) => term);
    for (const [term, { element }] of held) element.hidden = !terms.includes(term);
  };
}
