// Where tokens are wanted, the page asks for one, says when it is wrong, and keeps it in its tab alone.
import { demand, open, run, untilDrawn, untilState } from "./browser.mjs";

run(async (browser, [url, token, admin]) => {
  const { page } = await open(browser, url, { live: false });
  await untilState(page, "locked");
  const field = page.getByLabel("Token", { exact: true });
  await field.waitFor({ state: "visible" });
  demand((await page.locator(".card[data-answer]").count()) === 0, "nothing is shown before");
  await give(page, "wrong");
  await page.getByText("refuses that token").waitFor();
  await give(page, token);
  await untilState(page, "live");
  await untilDrawn(page);
  await page.locator("#rejected-body").getByText("An admin token shows both").waitFor();
  await page.reload();
  await untilState(page, "live");
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, location.href, document.cookie, document.documentElement.outerHTML]));
  demand(!kept.includes(token), "the token is kept where it must not be");
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await untilState(page, "locked");
  await give(page, admin);
  await page.waitForSelector("#rejected-body details");
  return "opened";
});

async function give(page, token) {
  const field = page.getByLabel("Token", { exact: true });
  await field.waitFor({ state: "visible" });
  await field.fill(token);
  await page.keyboard.press("Enter");
}
