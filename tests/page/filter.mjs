// Each answer can be filtered and saved as CSV, with a token too, and says how many of its rows are shown.
import { readFile } from "node:fs/promises";
import { demand, open, run, untilDrawn, untilState, untroubled } from "./browser.mjs";

const ANSWER = "most_followed_poster_by_country";

run(async (browser, [url, token]) => {
  const { page, trouble } = await open(browser, url, { live: false });
  await untilState(page, "locked");
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.keyboard.press("Enter");
  await untilState(page, "live");
  await untilDrawn(page);
  const filters = await page.locator(".card[data-answer] .filter").count();
  const links = await page.locator(".card[data-answer] a.csv").count();
  demand(filters === 11 && links === 11, `${filters} filters, ${links} links`);
  const card = page.locator(`[data-answer="${ANSWER}"]`);
  const count = () => card.locator(".card-count").textContent();
  const total = await cut(card, await count());
  const country = await card.locator(".ranked-place").first().textContent();
  await card.locator(".filter").fill(country.toUpperCase());
  demand((await count()).startsWith(`1 of ${total} rows match`), await count());
  demand((await card.locator(".ranked li").count()) === 1, "the chart has the rows that match");
  await card.getByRole("button", { name: "Table" }).click();
  demand((await card.locator("tbody tr").count()) === 1, "so has the table");
  await card.locator(".filter").fill("no such place");
  await card.getByText("No row matches the filter.").waitFor();
  await card.locator(".filter").fill("");
  const listed = await card.locator("tbody tr").count();
  demand(total > 100 && listed === 100, `without a filter the first hundred rows are back: ${listed} of ${total}`);
  demand((await card.locator(".cut-note span").textContent()) === `100 of ${total} shown`, "and the table says that it is cut");
  await card.getByRole("button", { name: /^Show \d+ more$/ }).click();
  demand((await card.locator("tbody tr").count()) === total && (await card.locator(".cut-note").isHidden()), "then all of them are there");
  const rows = await save(page, card);
  demand(rows.length === total + 1 && rows[0] === "country,poster_name,follower_count", `${rows.length} lines, ${rows[0]}`);
  const unexpected = trouble.filter((what) => !/ 40[13] /.test(what));
  await untroubled(page, unexpected);
  return { total, rows: rows.length };
});

/** A chart that draws ten rows says of how many. */
async function cut(card, words) {
  const [, shown, total] = words.match(/^(\d+) of (\d+) rows shown$/) ?? [];
  demand(Number(shown) === 10 && Number(total) > 10 && (await card.locator(".ranked li").count()) === 10, words);
  return Number(total);
}

async function save(page, card) {
  const saved = page.waitForEvent("download");
  await card.locator("a.csv").click();
  const download = await saved;
  demand(download.suggestedFilename() === `${ANSWER}.csv`, download.suggestedFilename());
  return (await readFile(await download.path(), "utf8")).trimEnd().split("\r\n");
}
