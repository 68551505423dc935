// Runs before anything is drawn, so that nobody sees the other theme first.
(() => {
  try {
    const chosen = localStorage.getItem("pinflow.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; then the system's theme holds.
  }
})();
