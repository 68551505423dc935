import { number } from "./format.js";

/** `popular_category_by_year`, as people write it. */
export function words(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `1 row`, `2 rows`. */
export const counted = (count, of, written) => `${written ?? count} ${of}${count === 1 ? "" : "s"}`;

/**
 * How many rows there are, how many match the filter, and how many of those are shown: `44 rows`, `10 of 44 rows shown`,
 * `3 of 44 rows match`.
 *
 * @param {{total: number, matching: number, shown: number, filtered: boolean}} rows
 */
export function rowCount({ total, matching, shown, filtered }) {
  if (!filtered) return shown < total ? `${number(shown)} of ${counted(total, "row", number(total))} shown` : counted(total, "row", number(total));
  const match = `${number(matching)} of ${counted(total, "row", number(total))} match`;
  return shown < matching ? `${match}, ${number(shown)} shown` : match;
}

/** What a program says, as a sentence: with a capital, a full stop, and numbers that can be read. */
export function sentence(text) {
  const grouped = text.replace(/\b\d{4,15}\b/g, (digits) => number(Number(digits)));
  return `${grouped.charAt(0).toUpperCase()}${grouped.slice(1)}${/[.!?]$/.test(grouped) ? "" : "."}`;
}
