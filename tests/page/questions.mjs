// Each answer shows its SQL and plan, all questions are listed, and the chart of an answer is chosen by its columns.
import { demand, open, run, untilDrawn, untroubled } from "./browser.mjs";

/** What each of the configured questions is drawn as, and what that says. */
const CHARTS = {
  posts_by_year: { selector: "svg", words: "Posts over time. 2015: 2; 2016: null; 2018: 1. No rows between 2016 and 2018." },
  followers_by_category: { selector: ".bars li", words: "art3|travel-1|nullnull" },
  posts_by_category_and_year: { selector: ".panels-of-chart figcaption", words: "travel|art" },
  posts_by_country_and_category: { selector: ".bar-group", words: "Peru|Chad" },
  totals: { selector: ".big-figures > div", words: "Posts5|Mean followers0.166667" },
  titles: { selector: "tbody td", words: "A|B|C|D|null" },
};

run(async (browser, [url]) => {
  const { page, trouble } = await open(browser, url);
  await untilDrawn(page, 11 + Object.keys(CHARTS).length);
  const found = {};
  for (const [name, { selector, words }] of Object.entries(CHARTS)) {
    const parts = page.locator(`[data-answer="${name}"] .card-body ${selector}`);
    await parts.first().waitFor();
    const texts = await parts.evaluateAll((all) => all.map((one) => one.getAttribute("aria-label") ?? one.textContent));
    demand(texts.join("|") === words, `${name}: ${texts.join("|")}`);
    found[name] = texts.length;
  }
  demand(await page.locator('[data-answer="titles"] .choice').isHidden(), "an answer without a number has no chart to choose");
  await details(page);
  await list(page);
  await untroubled(page, trouble);
  return found;
});

/** SQL and plan open by keyboard. */
async function details(page) {
  const card = page.locator('[data-answer="totals"]');
  await card.locator(".question summary").focus();
  await page.keyboard.press("Enter");
  const [sql, plan] = await card.locator(".question .code").allTextContents();
  demand(sql.startsWith("SELECT count(*) AS posts") && /Scan pin/.test(plan), `${sql} ${plan}`);
  const costs = await card.locator(".costs").textContent();
  demand(/Statelive/.test(costs) && /Originfrom the configuration/.test(costs) && /Rows1/.test(costs), costs);
}

/** The list names every question with its state, and leads to its answer. */
async function list(page) {
  const rows = page.locator("#questions-list tbody tr");
  const wanted = 11 + Object.keys(CHARTS).length;
  await page.waitForFunction((count) => document.querySelectorAll("#questions-list tbody tr").length === count, wanted);
  const states = await rows.locator("td:nth-child(2)").allTextContents();
  demand(states.every((state) => state === "Live"), states.join());
  demand((await page.locator("#questions-note").textContent()) === `${wanted} questions`, "it counts them");
  const link = rows.getByRole("link", { name: "totals" });
  demand(await page.locator(await link.getAttribute("href")).isVisible(), "a question leads to its answer");
}
