/**
 * The server's clock: its last reply plus the time since then. This machine's clock may differ, so it is never compared with
 * timestamps of the server.
 */
export class ServerClock {
  #server = null;
  #heard = 0;

  /**
   * @param {string} serverTime as in `/status`
   * @param {number} now milliseconds of a monotonic clock
   */
  set(serverTime, now) {
    this.#server = Date.parse(serverTime);
    this.#heard = now;
  }

  /** The server's time now, milliseconds. Null before its first reply. */
  now(now) {
    return this.#server === null ? null : this.#server + (now - this.#heard);
  }

  /** Age of a server timestamp, milliseconds. Null if unknown. */
  age(instant, now) {
    return this.#server === null || !instant ? null : Math.max(0, this.now(now) - Date.parse(instant));
  }
}
