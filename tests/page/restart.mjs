// The server goes and comes back. The page says the one and the other, keeps what it had, draws the time between as a gap,
// and then shows what is new, with the counts of this run and of all runs.
//
// Reports to the test that runs it: `up`, `lost` and `back` are printed when they are seen.
import { chartWords, demand, open, run, untilDrawn, untilSampled, untilState } from "./browser.mjs";

run(async (browser, [url]) => {
  const { page } = await open(browser, url);
  await untilDrawn(page);
  await untilSampled(page, 4);
  const before = await rejectedCounts(page);
  demand(before.run > 0 && before.all === null, `rejections of the first run are of this run: ${JSON.stringify(before)}`);
  console.log("up");
  await untilState(page, "lost");
  demand((await page.locator("#state-words").textContent()) === "Connection lost", "it says so");
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  // Longer than two samples are apart, so that the charts must have a gap; and the age goes on while nothing comes.
  await page.waitForFunction(() => /^Connection lost\. The server .* is ([5-9]|\d\d+) s old, as of \d\d:\d\d:\d\d\. Retrying\.$/.test(document.querySelector("#notice").textContent));
  const shown = await page.locator("#notice").evaluate((notice) => {
    const { top, bottom, height } = notice.getBoundingClientRect();
    return { scrolled: scrollY, seen: height > 0 && top >= 0 && bottom <= innerHeight };
  });
  demand(shown.scrolled > 500 && shown.seen, `it is in view at the end of the page: ${JSON.stringify(shown)}`);
  demand((await page.locator(".card[data-answer]").count()) === 11, "what was known stays");
  await page.route((to) => to.pathname.endsWith("/status"), tablesReadLater());
  console.log("lost");
  await untilState(page, "live");
  demand(await page.locator("#notice").isHidden(), "nothing is said any more");
  const users = page.locator('[data-answer="users_joined_by_year"]');
  await users.getByRole("button", { name: "Table" }).click();
  await page.waitForFunction(() => [...document.querySelectorAll('[data-answer="users_joined_by_year"] tbody td:first-child')].some(({ textContent }) => textContent === "2020"));
  await page.waitForFunction(() => / in all runs$/.test(document.querySelector("#rejected-note").textContent));
  const after = await rejectedCounts(page);
  demand(after.run === 0 && after.all === before.run, `before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
  await page.locator("#rejected-body").getByText("No rejections in this run.").waitFor();
  await untilGap(page);
  return "back";
});

/** The first status of a run can come before the counts of earlier runs are read from the tables. Make sure that it does. */
function tablesReadLater() {
  let isFirst = true;
  return async (route) => {
    const response = await route.fetch().catch(() => null);
    if (response === null) return route.abort();
    const status = await response.json();
    if (isFirst) status.all_time.rejected = status.this_run.rejected;
    isFirst = false;
    return route.fulfill({ response, json: status });
  };
}

/** “24 in this run, 48 in all runs”. */
async function rejectedCounts(page) {
  await page.waitForFunction(() => document.querySelector("#rejected-note").textContent !== "");
  const words = await page.locator("#rejected-note").textContent();
  const [, own, all] = words.match(/^([\d,]+) in this run(?:, ([\d,]+) in all runs)?$/);
  const count = (text) => (text === undefined ? null : Number(text.replaceAll(",", "")));
  return { run: count(own), all: count(all) };
}

/** The samples before and behind are two pieces, of the line and of the area below it; the words name the time between. */
async function untilGap(page) {
  await page.waitForFunction(() => {
    const pieces = [...document.querySelectorAll(".time-chart-memory svg path")].map((path) => path.getAttribute("d").split("M").length - 1);
    return pieces.filter((count) => count === 2).length === 2;
  });
  const words = await chartWords(page, "memory");
  demand(/No data from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d\./.test(words), words);
}
