/**
 * Calls `what` repeatedly while the page is visible, and at once when it becomes visible again.
 *
 * @param {number | (() => number)} every milliseconds between the end of a call and the next one
 * @param {() => Promise<void>} what must handle its own errors
 * @returns {() => void} calls it as soon as the present call has ended, because that one may have come too early
 */
export function pollWhileVisible(every, what) {
  const wait = { isOver: false, end: () => {} };
  const poll = async () => {
    for (;;) {
      wait.isOver = false;
      await what();
      if (!wait.isOver) {
        await new Promise((resolve) => {
          wait.end = resolve;
          setTimeout(resolve, typeof every === "function" ? every() : every);
        });
      }
      await untilVisible();
    }
  };
  poll();
  return () => {
    wait.isOver = true;
    wait.end();
  };
}

/** Resolves when the page is visible. */
export async function untilVisible() {
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}
