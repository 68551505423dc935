/** Differences that are within this factor of the usual one count as equal: months and years differ in length. */
const EQUAL_WITHIN = 1.2;
/** A difference above this many steps is a gap. */
const GAP_STEPS = 1.5;

/**
 * The distance between two neighbours on an axis of time. Null if they have no usual distance, so that nothing is missing
 * between them.
 *
 * @param {number[]} places in ascending order
 * @param {boolean} isMoment false for whole numbers that count years, months or the like: their distance is 1
 */
export function timeStep(places, isMoment) {
  if (!isMoment) return 1;
  const differences = places.slice(1).map((place, at) => place - places[at]);
  if (differences.length < 2) return null;
  const usual = [...differences].sort((one, other) => one - other)[Math.floor((differences.length - 1) / 2)];
  const equal = differences.filter((difference) => difference <= usual * EQUAL_WITHIN && difference * EQUAL_WITHIN >= usual);
  return usual > 0 && equal.length * 2 > differences.length ? usual : null;
}

/**
 * Places without rows between neighbours that are further apart than a step.
 *
 * @param {{x: number}[]} points in the order of time
 * @param {number | null} step
 */
export function timeGaps(points, step) {
  if (step === null) return [];
  return points.slice(1).flatMap((before, at) => {
    const after = points[at];
    return before.x - after.x > step * GAP_STEPS ? [{ from: after.x, to: before.x, after, before }] : [];
  });
}

/** The points, with one without a value in each gap, which interrupts the line. */
export function withTimeGaps(points, gaps) {
  const breaks = gaps.map(({ from, to }) => ({ x: (from + to) / 2, value: null }));
  return [...points, ...breaks].sort((one, other) => one.x - other.x);
}
