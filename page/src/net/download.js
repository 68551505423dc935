import { address, ask } from "./ask.js";
import { token } from "./token.js";

/**
 * Makes a link save what it points at. A link cannot send a token: where there is one the file is fetched with it and
 * saved from memory. Without a token the browser follows the link as it is.
 *
 * @param {HTMLAnchorElement} link
 * @param {string} path
 * @param {string} name the file's
 * @param {(message: string) => void} failed
 */
export function saveOnClick(link, path, name, failed) {
  link.href = address(path);
  link.download = name;
  link.addEventListener("click", async (event) => {
    if (!token() || !event.isTrusted) return;
    event.preventDefault();
    try {
      const file = URL.createObjectURL(await (await ask(path)).blob());
      const save = link.cloneNode();
      save.href = file;
      save.click();
      setTimeout(() => URL.revokeObjectURL(file), 60_000);
    } catch (error) {
      failed(error.message);
    }
  });
}
