import { plot } from "@observablehq/plot";

/**
 * A Plot chart with a description for screen readers. Plot adds a style element to each chart, which the content security
 * policy forbids: its rules are in `style/charts.css`, and the element is removed.
 *
 * @param {string} words description for screen readers
 */
export function accessiblePlot(words, options) {
  const svg = plot({ className: "plot", ...options });
  for (const style of svg.querySelectorAll("style")) style.remove();
  // Remove Plot's labels of parts: they are invalid without a role, and an image is described as a whole.
  for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
  return svg;
}

/** The first rows as one sentence. The table has all of them. */
export function describeRows(rows, say, most = 8) {
  const rest = rows.length - most;
  return rows.slice(0, most).map(say).join("; ") + (rest > 0 ? `; and ${rest} more. The table has all.` : ".");
}
