// Samples of the last ten minutes. The server takes one per second. The page keeps those it has seen, so that the charts
// still show the time before a restart of the server.

/** How long the server keeps samples, milliseconds. */
const KEEP_MS = 10 * 60_000;
/** How many samples the server keeps. */
export const ALL_SAMPLES = 600;
/** Samples requested at each poll if none was missed. */
const FEW_SAMPLES = 5;
/** Samples over which the current rate is averaged. Between two samples it is mostly noise. */
const RATE_SAMPLES = 5;

/** @typedef {{at: number, rate: number | null, lag: number | null, latency: number | null, memory: number | null}} Point */

export class History {
  /** @type {Point[]} by time */
  points = [];
  #lookedAt = -Infinity;

  /**
   * How many samples to request so that none is missed.
   *
   * @param {number} now milliseconds of a monotonic clock
   */
  wanted(now) {
    return now - this.#lookedAt > (FEW_SAMPLES - 2) * 1000 ? ALL_SAMPLES : FEW_SAMPLES;
  }

  /**
   * Adds samples, oldest first. If the server's clock was set back, samples in the future are dropped.
   *
   * @param {{samples: any[]}} history as in `/status?history=`
   * @param {number} now as for {@link wanted}
   */
  add({ samples }, now) {
    this.#lookedAt = now;
    const fresh = samples.map(point);
    if (fresh.length === 0) return;
    const [first, last] = [fresh[0].at, fresh.at(-1).at];
    this.points = [...this.points.filter(({ at }) => at < first && last - at <= KEEP_MS), ...fresh];
  }

  /** Records per second now. Null if unknown. */
  rate() {
    const rates = this.points.slice(-RATE_SAMPLES).map(({ rate }) => rate);
    const known = rates.slice(rates.lastIndexOf(null) + 1);
    return known.length > 0 ? known.reduce((sum, rate) => sum + rate, 0) / known.length : null;
  }
}

function point({ at, records_per_sec: rate, lag, latency_p99_ms: latency, memory_bytes: memory }) {
  return { at: Date.parse(at), rate, lag, latency, memory };
}
