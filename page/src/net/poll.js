/**
 * Calls `what` repeatedly while the page is visible, and at once when it becomes visible again.
 *
 * @param {number} every milliseconds between the end of a call and the next one
 * @param {() => Promise<void>} what must handle its own errors
 */
export async function pollWhileVisible(every, what) {
  for (;;) {
    await what();
    await new Promise((resolve) => setTimeout(resolve, every));
    await untilVisible();
  }
}

/** Resolves when the page is visible. */
export async function untilVisible() {
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}
