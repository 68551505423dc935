/**
 * Whether a row is what somebody types: each word stands in one of its cells, in either case.
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
