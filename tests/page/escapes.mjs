// Texts that would do harm if they were taken for anything but texts: shown as they are, run nowhere.
import { readFile } from "node:fs/promises";
import { demand, open, run, untilDrawn, untroubled } from "./browser.mjs";

run(async (browser, [url]) => {
  const hostile = JSON.parse(await readFile(new URL("hostile.json", import.meta.url), "utf8"));
  const { page, trouble } = await open(browser, url);
  await untilDrawn(page);
  await page.waitForSelector("#rejected-body details");
  await sqlIsText(page, hostile);
  const shown = new Set(await texts(page));
  for (const name of ["Table", "Chart"]) {
    for (const button of await page.locator(".card").getByRole("button", { name, exact: true }).all()) await button.click();
    for (const text of await texts(page)) shown.add(text);
  }
  for (const more of await page.locator(".more:visible").all()) await more.click();
  for (const details of await page.locator("#rejected-body details").all()) await details.evaluate((one) => (one.open = true));
  for (const text of await texts(page)) shown.add(text);
  const all = [...shown].join("\n");
  const missing = hostile.filter((text) => !all.includes(text));
  demand(missing.length === 0, `not shown as they are: ${missing.join(" | ")}`);
  const injected = await page.evaluate(() => ({
    elements: [...document.querySelectorAll("iframe, object, embed, base, video, math, form:not(#login-form, #editor, #drop form), img, body script, style, input:not(#login-token, #editor-name, .filter), meta[http-equiv]")].map(({ outerHTML }) => outerHTML),
    handlers: [...document.querySelectorAll("*")].filter((one) => [...one.attributes].some(({ name }) => name.startsWith("on"))).map(({ outerHTML }) => outerHTML),
    marker: window.hostile,
  }));
  demand(injected.elements.length + injected.handlers.length === 0 && injected.marker === undefined, JSON.stringify(injected));
  await untroubled(page, trouble);
  return { texts: hostile.length };
});

/** A question's SQL has all of them as comments, its column is named after one, and its plan compares with one. */
async function sqlIsText(page, hostile) {
  const card = page.locator('[data-answer="hostile"]');
  await card.locator(".question summary").click();
  const sql = await card.locator(".question .code").first().textContent();
  const missing = hostile.filter((text) => !sql.includes(`-- ${text}`));
  demand(missing.length === 0, `not in the SQL: ${missing.join(" | ")}`);
  demand((await card.locator(".question .code").nth(1).textContent()).includes(hostile[0]), "the plan has the text of the condition");
  await card.getByText(hostile[0], { exact: false }).first().waitFor();
}

function texts(page) {
  return page.evaluate(() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) found.push(walker.currentNode.textContent);
    return found;
  });
}
