import { h } from "../dom.js";

/**
 * A group of buttons of which exactly one is pressed.
 *
 * @param {string} label
 * @param {string[]} names
 * @param {(name: string) => void} chosen
 */
export function choiceButtons(label, names, chosen) {
  const buttons = names.map((name) => h("button", { type: "button", "aria-pressed": "false", onclick: () => choose(name) }, name));
  function choose(name) {
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(names[at] === name)));
    chosen(name);
  }
  return { element: h("div", { class: "choice", role: "group", "aria-label": label }, ...buttons), choose };
}
