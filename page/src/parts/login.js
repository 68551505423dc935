import { byId, setText } from "../dom.js";
import { RequestError } from "../net/request.js";
import { storeToken, storedToken } from "../net/token.js";

/** Asks for tokens. */
export function login() {
  const [dialog, form, input, why, cancel] = [byId("login"), byId("login-form"), byId("login-token"), byId("login-why"), byId("login-cancel")];
  const first = why.textContent;
  /** Those who wait for a token. Each is called with it, or with null. */
  let waiting = [];

  function answer(token) {
    input.value = "";
    dialog.close();
    const all = waiting;
    waiting = [];
    for (const go of all) go(token);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answer(input.value.trim());
  });
  cancel.addEventListener("click", () => answer(null));
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    // Without a token there is no data to show.
    if (!cancel.hidden) answer(null);
  });

  function ask(words, isOptional) {
    return new Promise((resolve) => {
      waiting.push(resolve);
      setText(why, words);
      cancel.hidden = !isOptional;
      if (!dialog.open) dialog.showModal();
    });
  }

  return {
    /** Asks for a token and stores it. Resolves when there is one. */
    async unlocked() {
      for (;;) {
        const token = await ask(storedToken() ? "The server refuses that token. Try another one." : first, false);
        if (token !== null) return storeToken(token);
      }
    },
    /**
     * Sends, and asks for another token while the server refuses the present one. A token that it accepts is stored.
     *
     * @template T
     * @param {(token?: string) => Promise<T>} send
     * @returns {Promise<T | null>} null if no token was given
     */
    async permitted(send) {
      let token;
      for (;;) {
        try {
          const reply = await send(token);
          if (token !== undefined) storeToken(token);
          return reply;
        } catch (error) {
          if (!isAboutToken(error)) {
            if (token !== undefined && isPermitted(error)) storeToken(token);
            throw error;
          }
          const words = token === undefined ? "Changing questions needs an admin token. It is kept in this tab only." : "The server refuses that token for this. Try another one.";
          const given = await ask(words, true);
          if (given === null) return null;
          token = given;
        }
      }
    },
  };
}

/** Whether another token could help. A 403 can also say that the configuration does not allow changes at all. */
const isAboutToken = (error) => error instanceof RequestError && (error.status === 401 || (error.status === 403 && error.fields.error === "forbidden"));

/** Whether an error is about what was sent, so that the token was accepted. 429 can say that tokens are not looked at. */
const isPermitted = (error) => error instanceof RequestError && error.status < 500 && error.status !== 429;
