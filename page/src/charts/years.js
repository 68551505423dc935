/** Longest span that is filled, years. */
const MOST = 60;

/**
 * All years from the first to the last, so that a year without a row is visible as a gap.
 *
 * @param {number[]} found
 */
export function yearsOf(found) {
  const [first, last] = [Math.min(...found), Math.max(...found)];
  if (!Number.isInteger(first) || !Number.isInteger(last) || last - first > MOST) return [...new Set(found)].sort((one, other) => one - other);
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}
