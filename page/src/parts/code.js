import { h } from "../dom.js";

/** Code that can be scrolled by keyboard. */
export const codeBlock = (label) => h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": label });
