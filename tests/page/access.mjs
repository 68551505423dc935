// axe finds nothing: in both themes, with charts and with tables, with SQL and plan, narrow and wide.
import { axeSource, demand, open, run, untilDrawn } from "./browser.mjs";

run(async (browser, [url]) => {
  const report = {};
  for (const scheme of ["light", "dark"]) {
    for (const width of [390, 1440]) {
      const { page } = await open(browser, url, { scheme, width });
      await untilDrawn(page);
      await page.waitForSelector("#rejected-body details");
      // By the debugger's way: the page's policy holds for scripts that the page itself adds.
      await page.evaluate(axeSource);
      report[`${scheme} ${width} charts`] = await look(page);
      for (const button of await page.getByRole("button", { name: "Table", exact: true }).all()) await button.click();
      await page.locator("#rejected-body summary").first().click();
      for (const details of await page.locator("details.question").all()) await details.evaluate((one) => (one.open = true));
      report[`${scheme} ${width} tables`] = await look(page);
      await page.close();
    }
  }
  const found = Object.entries(report).flatMap(([where, { violations }]) => violations.map((one) => `${where}: ${one}`));
  demand(found.length === 0, found.join("\n"));
  return Object.fromEntries(Object.entries(report).map(([where, { passed }]) => [where, passed]));
});

async function look(page) {
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const say = ({ id, impact, nodes }) => `${impact} ${id} at ${nodes.map(({ target, failureSummary }) => `${target} (${failureSummary})`).slice(0, 3).join(", ")}`;
  return { passed: passes.length, violations: violations.map(say) };
}
