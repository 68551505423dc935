import { byId, write } from "../dom.js";

const KEY = "pinflow.theme";

/** The button that changes between light and dark; until it is pressed, the system decides. */
export function theme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => write(button, dark() ? "Light" : "Dark");
  button.setAttribute("aria-label", "Change between light and dark");
  button.addEventListener("click", () => {
    const chosen = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // Then it holds until the page is left.
    }
    name();
  });
  system.addEventListener("change", name);
  name();
}
