// A year without rows has no column, and the words say so; a card of few years draws columns.
import { demand, open, run, untilDrawn, untroubled } from "./browser.mjs";

run(async (browser, [url]) => {
  const { page, trouble } = await open(browser, url);
  await untilDrawn(page);
  const chart = page.locator('[data-answer="users_joined_by_year"] svg');
  await chart.waitFor();
  const words = await chart.getAttribute("aria-label");
  demand(words === "Columns by year. 2015: 2; 2018: 1. No rows for 2016, 2017.", words);
  demand((await chart.locator("rect").count()) === 2, "a column for each year with rows");
  demand((await chart.locator("path").count()) === 0, "and nothing between them");
  demand((await page.locator('[data-answer="popular_category_by_year"] .empty').textContent()) === "No rows yet. It needs pin and geo records with the same ind.", "an empty answer says what it needs");
  await untroubled(page, trouble);
  return words;
});
