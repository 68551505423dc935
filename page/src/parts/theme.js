import { byId, setText } from "../dom.js";

const KEY = "pinflow.theme";

/** The button that switches between light and dark. Until then the system's theme is used. */
export function theme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => setText(button, dark() ? "Light" : "Dark");
  button.setAttribute("aria-label", "Change between light and dark");
  button.addEventListener("click", () => {
    const chosen = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // Without storage the choice is lost at reload.
    }
    name();
  });
  system.addEventListener("change", name);
  name();
}
