import { byId, setText } from "../dom.js";

/**
 * Asks whether a question should be dropped.
 *
 * @param {string} name
 * @returns {Promise<boolean>}
 */
export function confirmDrop(name) {
  const dialog = byId("drop");
  setText(byId("drop-title"), `Drop ${name}?`);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "drop"), { once: true }));
}
