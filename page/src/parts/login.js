import { byId, setText } from "../dom.js";
import { storeToken, storedToken } from "../net/token.js";

/** Asks for a token until the server accepts one. */
export function login() {
  const [dialog, form, input, why] = [byId("login"), byId("login-form"), byId("login-token"), byId("login-why")];
  const first = why.textContent;
  let waiting = [];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    storeToken(input.value.trim());
    input.value = "";
    dialog.close();
    const all = waiting;
    waiting = [];
    for (const go of all) go();
  });
  // Without a token there is no data to show.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      setText(why, storedToken() ? "The server refuses that token. Try another one." : first);
      if (!dialog.open) dialog.showModal();
    });
}
