// What the last minutes were like. The server keeps no past; the page does, over a reload too.

const KEEP_MS = 10 * 60_000;
const LOOKS = 4;
const KEY = "pinflow.history";

/** @typedef {{at: number, read: number, rejected: number, lag: number | null, rate: number | null}} Point */

export class History {
  /** @type {Point[]} */
  points = [];
  #restored = false;

  /**
   * Adds what a `/status` says.
   *
   * @param {any} status
   * @param {number} now milliseconds
   */
  add(status, now) {
    if (!this.#restored) this.points = restore(now);
    this.#restored = true;
    const sum = (of) => status.sources.reduce((total, source) => total + (source[of] ?? 0), 0);
    const lags = status.sources.map((source) => source.lag).filter((lag) => lag !== null && lag !== undefined);
    const lag = lags.length > 0 ? lags.reduce((total, one) => total + one, 0) : null;
    const point = { at: now, read: sum("read"), rejected: sum("rejected"), lag, rate: null };
    // Over a few looks: from one to the next it is mostly noise.
    point.rate = since(this.points.at(-LOOKS) ?? this.points[0], point);
    this.points.push(point);
    this.points = this.points.filter(({ at }) => now - at <= KEEP_MS);
    save(this.points);
  }

  /** Records a second now; null if that is not known. */
  rate() {
    return this.points.at(-1)?.rate ?? null;
  }
}

/** Records a second from one look to another; null over a restart, or where nobody looked. */
export function since(before, now) {
  if (!before || now.read < before.read) return null;
  const seconds = (now.at - before.at) / 1000;
  return seconds > 0 && seconds < 30 ? (now.read - before.read) / seconds : null;
}

function restore(now) {
  try {
    const points = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(points) ? points.filter(({ at }) => now - at <= KEEP_MS && at <= now) : [];
  } catch {
    return [];
  }
}

function save(points) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(points));
  } catch {
    // A past that is not kept is shown until the page is left.
  }
}
