/**
 * The server's clock, as of its last reply and the time since then: this machine's clock may be another one, and ages that
 * are measured between two clocks are wrong.
 */
export class ServerClock {
  #server = null;
  #heard = 0;

  /**
   * @param {string} serverTime as `/status` says it
   * @param {number} now milliseconds, by a clock that never goes back
   */
  set(serverTime, now) {
    this.#server = Date.parse(serverTime);
    this.#heard = now;
  }

  /** The server's time now, milliseconds; null before its first reply. */
  now(now) {
    return this.#server === null ? null : this.#server + (now - this.#heard);
  }

  /** How long ago an instant of the server was, milliseconds; null if that is not known. */
  age(instant, now) {
    return this.#server === null || !instant ? null : Math.max(0, this.now(now) - Date.parse(instant));
  }
}
