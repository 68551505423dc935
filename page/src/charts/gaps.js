// Samples are one second apart. A longer time between two samples is unknown and is not drawn.

/** Samples further apart than this have a gap between them, milliseconds. */
const GAP_MS = 3_000;

/**
 * Inserts a point with value null into each gap, which interrupts the line.
 *
 * @param {{at: number, value: number | null}[]} points by time
 */
export function withGaps(points) {
  const shown = [];
  for (const point of points) {
    const before = shown.at(-1);
    if (before && point.at - before.at > GAP_MS) shown.push({ at: (before.at + point.at) / 2, value: null });
    shown.push(point);
  }
  return shown;
}

/**
 * The gaps between the first point and the end of the axis.
 *
 * @param {{at: number, value: number | null}[]} shown as returned by {@link withGaps}
 * @param {number} end milliseconds
 * @returns {{from: number, to: number}[]}
 */
export function gapsOf(shown, end) {
  const known = shown.filter(({ value }) => value !== null).map(({ at }) => at);
  const edges = [...known, end];
  return edges.slice(1).flatMap((to, at) => (to - edges[at] > GAP_MS ? [{ from: edges[at], to }] : []));
}
