/**
 * Does something again and again while the page is looked at, and once more as soon as it is looked at again.
 *
 * @param {number} every milliseconds from one end to the next beginning
 * @param {() => Promise<void>} what reports its own failures
 */
export async function poll(every, what) {
  for (;;) {
    await what();
    await new Promise((resolve) => setTimeout(resolve, every));
    await shown();
  }
}

/** Resolves when the page is looked at. */
export async function shown() {
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}
