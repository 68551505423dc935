/**
 * A filter for rows: every word of the query must occur in some cell, ignoring case.
 *
 * @param {string} query
 * @returns {(row: object) => boolean}
 */
export function rowFilter(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return () => true;
  return (row) => {
    const cells = Object.values(row).map((cell) => String(cell ?? "").toLowerCase());
    return words.every((word) => cells.some((cell) => cell.includes(word)));
  };
}
