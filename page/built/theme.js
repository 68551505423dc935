(() => {
  // src/theme.js
  (() => {
    try {
      const chosen = localStorage.getItem("pinflow.theme");
      if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
    } catch {
    }
  })();
})();
