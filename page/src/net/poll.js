/**
 * Calls `what` repeatedly while the page is visible, and at once when it becomes visible again.
 *
 * @param {number | (() => number)} every milliseconds between the end of a call and the next one
 * @param {() => Promise<void>} what must handle its own errors
 * @returns {() => void} ends the present wait
 */
export function pollWhileVisible(every, what) {
  let soon = () => {};
  const poll = async () => {
    for (;;) {
      await what();
      await new Promise((resolve) => {
        soon = resolve;
        setTimeout(resolve, typeof every === "function" ? every() : every);
      });
      await untilVisible();
    }
  };
  poll();
  return () => soon();
}

/** Resolves when the page is visible. */
export async function untilVisible() {
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}
