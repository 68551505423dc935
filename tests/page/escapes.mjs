// Texts that would do harm if they were taken for anything but texts: shown as they are, run nowhere.
import { readFile } from "node:fs/promises";
import { demand, open, run, untilDrawn, untroubled } from "./browser.mjs";

run(async (browser, [url]) => {
  const hostile = JSON.parse(await readFile(new URL("hostile.json", import.meta.url), "utf8"));
  const { page, trouble } = await open(browser, url);
  await untilDrawn(page);
  await page.waitForSelector("#rejected-body details");
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
    elements: [...document.querySelectorAll("iframe, object, embed, base, video, math, form:not(#login-form), img, body script, style, input:not(#login-token):not(.filter), meta[http-equiv]")].map(({ outerHTML }) => outerHTML),
    handlers: [...document.querySelectorAll("*")].filter((one) => [...one.attributes].some(({ name }) => name.startsWith("on"))).map(({ outerHTML }) => outerHTML),
    marker: window.hostile,
  }));
  demand(injected.elements.length + injected.handlers.length === 0 && injected.marker === undefined, JSON.stringify(injected));
  await untroubled(page, trouble);
  return { texts: hostile.length };
});

function texts(page) {
  return page.evaluate(() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) found.push(walker.currentNode.textContent);
    return found;
  });
}
