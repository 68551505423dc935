import { plot } from "@observablehq/plot";

/**
 * A drawing with its words. Plot puts a style element into each drawing, which the page's policy refuses; those rules
 * stand in `style/charts.css`, and the element is taken out before the drawing gets into the page.
 *
 * @param {string} words what the drawing shows, for those who cannot see it
 */
export function drawing(words, options) {
  const svg = plot({ className: "plot", ...options });
  for (const style of svg.querySelectorAll("style")) style.remove();
  // Of an image only its own words are read; Plot names its parts besides, which is not allowed where they have no role.
  for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
  return svg;
}

/** The first few of a list, as one sentence; the table has all of them. */
export function spoken(rows, say, most = 8) {
  const rest = rows.length - most;
  return rows.slice(0, most).map(say).join("; ") + (rest > 0 ? `; and ${rest} more. The table has all.` : ".");
}
