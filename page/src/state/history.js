// What the last ten minutes were like. The server takes a sample every second and keeps them; the page keeps those that it
// has seen, so that the time before a restart of the server stays on the charts.

/** As long as the server keeps samples, milliseconds. */
const KEEP_MS = 10 * 60_000;
/** As many samples as the server keeps. */
export const ALL_SAMPLES = 600;
/** Samples that are asked for at each look while none was missed. */
const FEW_SAMPLES = 5;
/** The rate of now is the average of so many samples: from one to the next it is mostly noise. */
const RATE_SAMPLES = 5;

/** @typedef {{at: number, rate: number | null, lag: number | null, latency: number | null, memory: number | null}} Point */

export class History {
  /** @type {Point[]} by time */
  points = [];
  #lookedAt = -Infinity;

  /**
   * How many samples to ask for, so that none is missing.
   *
   * @param {number} now milliseconds, by a clock that never goes back
   */
  wanted(now) {
    return now - this.#lookedAt > (FEW_SAMPLES - 2) * 1000 ? ALL_SAMPLES : FEW_SAMPLES;
  }

  /**
   * Takes up samples, oldest first. A clock that was put back on the server leaves samples of the future: they are dropped.
   *
   * @param {{samples: any[]}} history as `/status?history=` has it
   * @param {number} now as for {@link wanted}
   */
  add({ samples }, now) {
    this.#lookedAt = now;
    const fresh = samples.map(point);
    if (fresh.length === 0) return;
    const [first, last] = [fresh[0].at, fresh.at(-1).at];
    this.points = [...this.points.filter(({ at }) => at < first && last - at <= KEEP_MS), ...fresh];
  }

  /** Records per second now; null if that is not known. */
  rate() {
    const rates = this.points.slice(-RATE_SAMPLES).map(({ rate }) => rate);
    const known = rates.slice(rates.lastIndexOf(null) + 1);
    return known.length > 0 ? known.reduce((sum, rate) => sum + rate, 0) / known.length : null;
  }
}

function point({ at, records_per_sec: rate, lag, latency_p99_ms: latency, memory_bytes: memory }) {
  return { at: Date.parse(at), rate, lag, latency, memory };
}
