import { number } from "./format.js";

/** `popular_category_by_year` as `Popular category by year`. */
export function readableName(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Whether a column holds years, which are names and not amounts. */
export const isYear = (name) => name === "year" || name.endsWith("_year");

/** `1 row`, `2 rows`. */
export const withCount = (count, of, written) => `${written ?? count} ${of}${count === 1 ? "" : "s"}`;

/**
 * The counts of rows, matching rows and shown rows: `44 rows`, `10 of 44 rows shown`, `3 of 44 rows match`.
 *
 * @param {{total: number, matching: number, shown: number, filtered: boolean}} rows
 */
export function rowCount({ total, matching, shown, filtered }) {
  if (!filtered) return shown < total ? `${number(shown)} of ${withCount(total, "row", number(total))} shown` : withCount(total, "row", number(total));
  const match = `${number(matching)} of ${withCount(total, "row", number(total))} match`;
  return shown < matching ? `${match}, ${number(shown)} shown` : match;
}

/** A message of the server as a sentence: capital, full stop, thousands separators. */
export function sentence(text) {
  const grouped = text.replace(/\b\d{4,15}\b/g, (digits) => number(Number(digits)));
  return `${grouped.charAt(0).toUpperCase()}${grouped.slice(1)}${/[.!?]$/.test(grouped) ? "" : "."}`;
}
