// A page that nobody looks at hangs up after a while, and goes on where it was when somebody does.
import { demand, open, run, stopClock, untilDrawn, untroubled } from "./browser.mjs";

run(async (browser, [url]) => {
  const { page, trouble } = await open(browser, url, { clock: true });
  await untilDrawn(page);
  const ended = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/changes"));
  // The clock stands still, so that the test may be slow.
  await stopClock(page);
  await look(page, false);
  await page.clock.fastForward(29_000);
  demand((await page.locator('#state[data-state="live"]').count()) === 1, "half a minute is allowed");
  await page.clock.fastForward(2_000);
  await ended;
  await page.clock.resume();
  const anew = page.waitForRequest((request) => request.url().endsWith("/changes"));
  await look(page, true);
  const seen = (await anew).headers()["last-event-id"];
  demand(/^[0-9a-f]+-\d+$/.test(seen ?? ""), `it says where it was: ${seen}`);
  await untroubled(page, trouble);
  return "went on";
});

/** Whether somebody looks, as the browser would say it. */
function look(page, does) {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, !does);
}
