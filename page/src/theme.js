// Runs before the first paint, so that the other theme never flashes.
(() => {
  try {
    const chosen = localStorage.getItem("pinflow.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Without storage the system's theme is used.
  }
})();
