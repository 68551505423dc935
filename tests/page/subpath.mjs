// The page below a path, behind a proxy: everything that it loads and asks for is below that path, too.
import { demand, open, run, untilDrawn, untroubled } from "./browser.mjs";

run(async (browser, [url]) => {
  const { pathname } = new URL(url);
  const outside = [];
  const watched = { newPage: async (options) => {
    const page = await browser.newPage(options);
    page.on("request", (request) => {
      const at = new URL(request.url());
      if (at.protocol !== "blob:" && !at.pathname.startsWith(pathname)) outside.push(request.url());
    });
    return page;
  } };
  const { page, trouble } = await open(watched, url);
  await untilDrawn(page);
  // The typeface is loaded from the style sheet.
  await page.evaluate(() => document.fonts.ready);
  const fonts = await page.evaluate(() => [...document.fonts].filter((font) => font.status === "loaded").length);
  demand(fonts > 0, "no typeface was loaded");
  demand(outside.length === 0, `requests outside ${pathname}: ${outside.join(", ")}`);
  await untroubled(page, trouble);
  return { fonts };
});
