import { byId, write } from "../dom.js";
import { keep, token } from "../net/token.js";

/** Asks for a token, as long as there is none that opens. */
export function gate() {
  const [dialog, form, input, why] = [byId("gate"), byId("gate-form"), byId("gate-token"), byId("gate-why")];
  const first = why.textContent;
  let waiting = [];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(input.value.trim());
    input.value = "";
    dialog.close();
    const all = waiting;
    waiting = [];
    for (const go of all) go();
  });
  // There is nothing behind it yet.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      write(why, token() ? "That token does not open this pinflow. Try another one." : first);
      if (!dialog.open) dialog.showModal();
    });
}
