import { routeUrl, sendRequest } from "./request.js";
import { storedToken } from "./token.js";

/**
 * Makes a link download its target with the token. A link cannot send a token, so the file is fetched and saved from memory.
 * Without a token the browser follows the link itself.
 *
 * @param {HTMLAnchorElement} link
 * @param {string} path
 * @param {string} name of the file
 * @param {(message: string) => void} failed
 */
export function saveOnClick(link, path, name, failed) {
  link.href = routeUrl(path);
  link.download = name;
  link.addEventListener("click", async (event) => {
    if (!storedToken() || !event.isTrusted) return;
    event.preventDefault();
    try {
      const file = URL.createObjectURL(await (await sendRequest(path)).blob());
      const save = link.cloneNode();
      save.href = file;
      save.click();
      setTimeout(() => URL.revokeObjectURL(file), 60_000);
    } catch (error) {
      failed(error.message);
    }
  });
}
