// The server goes and comes back; the page says the one and the other, and then shows what is new.
//
// Speaks with whoever runs it: `up`, `lost` and `back` are printed when they are seen.
import { demand, open, run, untilDrawn, untilState } from "./browser.mjs";

run(async (browser, [url]) => {
  const { page } = await open(browser, url);
  await untilDrawn(page);
  console.log("up");
  await untilState(page, "lost");
  const said = await page.locator("#state-words").textContent();
  demand(said === "Connection lost", `it says “${said}”`);
  demand(await page.locator("#notice").isVisible(), "and what that means");
  demand((await page.locator(".plate[data-answer]").count()) === 11, "what was known stays");
  console.log("lost");
  await untilState(page, "live");
  demand(await page.locator("#notice").isHidden(), "nothing is said any more");
  const users = page.locator('[data-answer="users_joined_by_year"]');
  await users.getByRole("button", { name: "Table" }).click();
  await page.waitForFunction(() => [...document.querySelectorAll('[data-answer="users_joined_by_year"] tbody td:first-child')].some(({ textContent }) => textContent === "2020"));
  return "back";
});
