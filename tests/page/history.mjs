// The last minutes are kept by the server: a page that is loaded again, and a second one, show them at once.
import { chartWords, demand, open, run, untilSampled, untroubled } from "./browser.mjs";

run(async (browser, [url]) => {
  const { page, trouble } = await open(browser, url);
  await untilSampled(page, 6);
  const first = await begin(page);
  await page.reload();
  await page.waitForFunction(() => document.querySelector(".time-chart-rate svg"));
  demand((await begin(page)) === first, `after a reload it begins at ${await begin(page)}, before at ${first}`);
  const second = await open(browser, url);
  await second.page.waitForFunction(() => document.querySelector(".time-chart-rate svg"));
  demand((await begin(second.page)) === first, `a second page begins at ${await begin(second.page)}, the first at ${first}`);
  for (const of of ["latency", "memory"]) demand(/ last \d/.test(await chartWords(page, of)), `${of}: ${await chartWords(page, of)}`);
  await untroubled(page, trouble);
  return { begin: first };
});

/** When the oldest sample was taken. */
async function begin(page) {
  return (await chartWords(page, "rate")).match(/ from (\d\d:\d\d:\d\d) /)[1];
}
