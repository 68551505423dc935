// The server is there and says nothing, as behind a network that was cut: no connection is closed, and yet it is called lost.
//
// Reports to the test that runs it: `up` and `lost` are printed when they are seen.
import { demand, open, run, untilDrawn, untilSampled, untilState } from "./browser.mjs";

run(async (browser, [url]) => {
  const { page } = await open(browser, url);
  await untilDrawn(page);
  // The notice gives a time only once a status has told the server's clock.
  await untilSampled(page, 1);
  console.log("up");
  await untilState(page, "lost");
  const words = await page.locator("#notice").textContent();
  demand(/^Connection lost\. The server does not answer\. The data below is \d+ s old, as of /.test(words), words);
  demand((await page.locator("#pace-unit").textContent()) === "records per second, before the connection was lost", "the rate is not of now");
  console.log("lost");
  await untilState(page, "live");
  await page.waitForFunction(() => document.querySelector("#notice").hidden && document.querySelector("#pace-unit").textContent === "records per second");
  return "back";
});
