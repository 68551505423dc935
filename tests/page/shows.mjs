// Opens, shows everything, can be sorted by keyboard, fits narrow and wide.
import { demand, open, run, untilDrawn, untroubled } from "./browser.mjs";

const WIDTHS = [390, 768, 1088, 1440, 2200];

run(async (browser, [url, shots]) => {
  const { page, trouble } = await open(browser, url);
  await untilDrawn(page);
  await page.waitForSelector("#sources-body tbody tr");
  await page.waitForSelector("#tables-body tbody tr");
  await page.waitForSelector("#rejected-body details");
  await page.waitForSelector("#dataflow-body .graph .holds");
  const charts = await page.locator(".card .plot[role=img]").evaluateAll((all) => all.map((one) => one.getAttribute("aria-label")));
  demand(charts.length >= 7 && charts.every((words) => /\d/.test(words)), `charts say what they show: ${charts}`);
  for (const landmark of ["main", "nav", "header"]) demand((await page.locator(landmark).count()) > 0, `there is a ${landmark}`);
  const sorted = await sortByKeyboard(page);
  await payload(page);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    await page.waitForTimeout(500);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    demand(over <= 0, `at ${width} px it is ${over} px too wide`);
  }
  await paper(page);
  await theme(page);
  await untroubled(page, trouble);
  if (shots) await picture(browser, url, shots);
  return { charts: charts.length, sorted };
});

/** A heading is reached and pressed without a pointer: upwards, downwards, as it came. */
async function sortByKeyboard(page) {
  const card = page.locator('[data-answer="most_followed_poster_by_country"]');
  await card.getByRole("button", { name: "Table" }).focus();
  await page.keyboard.press("Enter");
  const heading = card.getByRole("button", { name: "Follower count" });
  await heading.focus();
  const column = async () => {
    const texts = await card.locator("tbody tr td:nth-child(3)").allTextContents();
    return texts.map((text) => Number(text.replaceAll(",", "")));
  };
  const header = card.locator("th", { hasText: "Follower count" });
  const ways = { ascending: (one, other) => one <= other, descending: (one, other) => one >= other };
  for (const [way, inOrder] of Object.entries(ways)) {
    await page.keyboard.press("Enter");
    demand((await header.getAttribute("aria-sort")) === way, `it says that it is ${way}`);
    const figures = await column();
    demand(figures.length > 5 && figures.every((figure, at) => at === 0 || inOrder(figures[at - 1], figure)), `${way}: ${figures}`);
  }
  await page.keyboard.press("Enter");
  demand((await header.getAttribute("aria-sort")) === null, "the third press takes the order away");
  return (await column()).length;
}

/** A rejection opens by keyboard and shows its payload. */
async function payload(page) {
  const first = page.locator("#rejected-body details").first();
  await first.locator("summary").focus();
  await page.keyboard.press("Enter");
  await first.locator("pre").waitFor({ state: "visible" });
}

/** On paper there is nothing to press, and nothing is cut. */
async function paper(page) {
  await page.emulateMedia({ media: "print" });
  const pressed = await page.locator("main button:visible, main input:visible, main a:visible:not(.question-name), nav:visible").count();
  demand(pressed <= (await page.locator("th button:visible").count()), `${pressed} things to press`);
  const cut = await page.locator(".table-scroll:visible").evaluateAll((all) => all.filter((one) => one.scrollHeight > one.clientHeight + 1).length);
  demand(cut === 0, `${cut} tables are cut`);
  await page.emulateMedia({ media: "screen" });
}

/** What is chosen is remembered over a reload. */
async function theme(page) {
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.locator("#theme").click();
  const dark = await ground();
  demand(light !== dark, "the theme changes");
  await page.reload();
  await page.waitForSelector(".card[data-answer]");
  demand((await ground()) === dark, "the theme is remembered");
}

async function picture(browser, url, folder) {
  for (const width of [390, 1440]) {
    for (const scheme of ["light", "dark"]) {
      const { page } = await open(browser, url, { scheme, width });
      await untilDrawn(page);
      await page.waitForTimeout(4_000);
      await page.screenshot({ path: `${folder}/${width}-${scheme}.png`, fullPage: true });
      await page.close();
    }
  }
}
