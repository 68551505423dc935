// What all tests of the page share: a real Chromium, and a page that is watched for what must not happen.
import { createRequire } from "node:module";
import { existsSync } from "node:fs";

// The packages stand where setup.sh puts them, not beside these files.
const require = createRequire(new URL("../../target/page/package.json", import.meta.url));
export const { chromium } = require("playwright-core");
export const axeSource = require("axe-core").source;

/** Longest wait for anything, on the slowest machine; it keeps a fault from hanging the tests. */
export const PATIENCE = 120_000;

export async function launch() {
  const executablePath = [process.env.PINFLOW_CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("no Chromium here: apt-get install chromium, name it in PINFLOW_CHROMIUM, or set PINFLOW_SKIP_PAGE=1");
  // The tests often run as root, where Chromium has no sandbox.
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** Opens the page; `trouble` fills with everything that a page in order never does. */
export async function open(browser, url, { scheme = "light", width = 1440, height = 900, live = true, clock = false } = {}) {
  const page = await browser.newPage({ colorScheme: scheme, viewport: { width, height } });
  page.setDefaultTimeout(PATIENCE);
  const trouble = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) trouble.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => trouble.push(`error: ${error.stack}`));
  page.on("dialog", (dialog) => {
    trouble.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== "blob:" && origin !== new URL(url).origin) trouble.push(`request: ${request.url()}`);
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
  });
  if (clock) await page.clock.install();
  await page.goto(url);
  if (live) await untilState(page, "live");
  return { page, trouble };
}

/** Waits until the page says that it is in a state. */
export const untilState = (page, state) => page.waitForSelector(`#state[data-state="${state}"]`);

/** Waits until every answer is drawn. */
export const untilDrawn = (page, answers = 11) => page.waitForFunction((wanted) => document.querySelectorAll(".card[data-answer] .card-count:not(:empty)").length >= wanted, answers);

/** What a chart over time says of itself: `rate`, `lag`, `latency` or `memory`; empty while it has no samples. */
export const chartWords = (page, of) => page.evaluate((name) => document.querySelector(`.time-chart-${name} svg`)?.getAttribute("aria-label") ?? "", of);

/** Waits until the rate over time is drawn with so many samples in one piece. */
export const untilSampled = (page, samples) =>
  page.waitForFunction((wanted) => {
    const line = document.querySelector('.time-chart-rate svg [aria-label="line"] path, .time-chart-rate svg g[fill="none"] path')?.getAttribute("d") ?? "";
    return line.split(/[A-Z]/).length > wanted;
  }, samples);

export function demand(holds, what) {
  if (!holds) throw new Error(what);
}

/** Stops the page's clock a moment from now. A busy machine may need longer than that to say so: then a little later. */
export async function stopClock(page) {
  for (const wait of [1_000, 2_000, 4_000, 8_000]) {
    const at = await page.evaluate((wait) => Date.now() + wait, wait);
    const stopped = await page.clock.pauseAt(at).then(
      () => true,
      (error) => {
        if (!error.message.includes("fast-forward to the past")) throw error;
      },
    );
    if (stopped) return;
  }
  throw new Error("the clock of the page could not be stopped");
}

/** What the page must never have done. */
export async function untroubled(page, trouble) {
  const violations = await page.evaluate(() => window.violations);
  demand(violations.length === 0, `against the page's policy: ${violations.join("; ")}`);
  demand(trouble.length === 0, `troubles: ${trouble.join("; ")}`);
}

/** Runs a test: what it gives back is printed as JSON; what it throws ends it with 1. */
export async function run(test) {
  const browser = await launch();
  try {
    console.log(JSON.stringify(await test(browser, process.argv.slice(2))));
  } catch (error) {
    console.error(error.stack);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
