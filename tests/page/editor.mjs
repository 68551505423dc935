// Questions are checked, tried, added, replaced and dropped in the page, by keyboard and with a token that permits it. Another
// page shows the answer meanwhile, without a reload.
import { axeSource, demand, open, run, untilDrawn, untilState, untroubled } from "./browser.mjs";

const NAME = "pins_by_category";
const ANSWER = `[data-answer="${NAME}"]`;
/** Its message has the name of the column, which must stay a text. */
const HOSTILE = "<img src=x onerror=alert(1)>";
const WRONG = `SELECT category, "${HOSTILE}" AS "😀", nowhere\nFROM pin\nWHERE follower_cnt > 3`;
const PINS = "SELECT category, count(*) AS pins\nFROM pin\nGROUP BY category";
const FOLLOWERS = "SELECT category, max(follower_count) AS followers, min(follower_count) AS least\nFROM pin\nGROUP BY category";

run(async (browser, [url, token, admin]) => {
  const [other, here] = [await enter(browser, url, token), await enter(browser, url, token)];
  const { page } = here;
  const streams = countStreams(other.page);
  await page.getByLabel("Name of the answer").fill(NAME);
  const problems = await wrongText(page, admin);
  await accessible(page);
  await fill(page, PINS);
  await page.keyboard.press("Control+Enter");
  await said(page, "No problems.");
  demand(/Scan pin/.test(await page.locator("#editor-report pre").textContent()), "a check shows the plan");
  await press(page, "Try");
  await page.locator("#editor-report .table-scroll").waitFor();
  const tried = await page.locator("#editor-report tbody tr").count();
  demand((await page.locator(ANSWER).count()) === 0, "nothing is added yet");
  await press(page, "Add");
  await said(page, `${NAME} is complete. Its answer is on this page.`);
  await column(other.page, "Pins");
  demand((await other.page.locator(`${ANSWER} tbody tr`).count()) === tried, "the answer is what was tried");
  await replace(page, other.page);
  await drop(page, other.page);
  await stopped(page, other.page);
  demand(streams.count === 0, "the stream that the page had has told it all");
  await nothingElse([other, here]);
  return { problems, tried };
});

async function enter(browser, url, token) {
  const opened = await open(browser, url, { live: false });
  await untilState(opened.page, "locked");
  await opened.page.getByLabel("Token", { exact: true }).fill(token);
  await opened.page.keyboard.press("Enter");
  await untilState(opened.page, "live");
  await untilDrawn(opened.page);
  await opened.page.locator("#editor").waitFor();
  return opened;
}

/** Counts the streams of changes that a page opens from now on. */
function countStreams(page) {
  const streams = { count: 0 };
  page.on("request", (request) => (streams.count += new URL(request.url()).pathname === "/changes"));
  return streams;
}

const fill = (page, sql) => page.locator("#editor-sql").fill(sql);
const press = (page, name) => page.locator("#editor").getByRole("button", { name, exact: true }).click();
const said = (page, words) => page.locator("#editor-said").getByText(words).waitFor();

/** The reader's token is not enough. All problems are marked at once, and each one leads to its word. */
async function wrongText(page, admin) {
  await fill(page, WRONG);
  await press(page, "Check");
  await page.getByText("Changing questions needs an admin token.").waitFor();
  await page.keyboard.press("Escape");
  await said(page, "Not done: no token was given.");
  await press(page, "Check");
  await page.getByLabel("Token", { exact: true }).fill(admin);
  await page.keyboard.press("Enter");
  const problems = page.locator("#editor-problems button");
  await problems.first().waitFor();
  const words = ['"' + HOSTILE + '"', "nowhere", "follower_cnt"];
  const marked = await page.locator(".sql-marks mark").allTextContents();
  demand(JSON.stringify(marked) === JSON.stringify(words), `marked: ${marked.join(" | ")}`);
  const messages = await problems.allTextContents();
  demand(messages.length === 3 && messages[0].includes(HOSTILE) && messages[2].startsWith("Line 3, column 7: "), messages.join(" | "));
  for (let at = 0; at < words.length; at += 1) {
    // The first problem has the focus already.
    if (at > 0) await problems.nth(at).focus();
    await page.keyboard.press("Enter");
    const selected = await page.evaluate(() => document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd));
    demand(selected === words[at], `selected: ${selected}`);
  }
  demand((await page.locator("#editor-sql").getAttribute("aria-invalid")) === "true", "the field is invalid");
  return messages.length;
}

/** In both themes, with problems. */
async function accessible(page) {
  await page.evaluate(axeSource);
  for (let theme = 0; theme < 2; theme += 1) {
    const { violations } = await page.evaluate(() => window.axe.run("#questions", { resultTypes: ["violations"] }));
    demand(violations.length === 0, JSON.stringify(violations.map(({ id, nodes }) => [id, nodes[0].failureSummary])));
    await page.locator("#theme").click();
  }
}

/** Waits until the answer's table has this column. */
async function column(page, title) {
  await page.locator(ANSWER).getByRole("button", { name: "Table", exact: true }).click();
  await page.locator(`${ANSWER} th`).getByText(title).waitFor();
}

/** The list takes the question into the editor. Its answer has the other columns afterwards, on both pages. */
async function replace(page, otherPage) {
  await page.getByRole("button", { name: `Edit ${NAME}` }).click();
  demand((await page.locator("#editor-sql").inputValue()) === PINS, "the editor has its SQL");
  await fill(page, FOLLOWERS);
  await press(page, "Replace");
  await said(page, `${NAME} is complete.`);
  for (const each of [page, otherPage]) {
    await each.waitForFunction((card) => document.querySelector(`${card} .card-note`)?.textContent === "Followers, by category", ANSWER);
    await column(each, "Least");
  }
}

/** Dropping asks first. The other page loses the answer without a reload. */
async function drop(page, otherPage) {
  const button = page.getByRole("button", { name: `Drop ${NAME}` });
  await button.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Keep it" }).press("Enter");
  demand((await page.locator(ANSWER).count()) === 1, "it is kept");
  await button.press("Enter");
  await page.getByRole("button", { name: "Drop it" }).press("Enter");
  await said(page, `${NAME} is dropped.`);
  for (const each of [page, otherPage]) await each.waitForFunction((card) => !document.querySelector(card), ANSWER);
  await otherPage.waitForFunction(() => document.querySelectorAll("#questions-list tbody tr").length === 11);
}

/** A question above a limit has no answer, but a card with the reason. */
async function stopped(page, otherPage) {
  await page.getByLabel("Name of the answer").fill("pins_by_title");
  await fill(page, "SELECT title, count(*) AS pins FROM pin GROUP BY title");
  await press(page, "Add");
  for (const each of [page, otherPage]) {
    const state = each.locator('[data-answer="pins_by_title"] .question-state');
    await state.getByText("Stopped", { exact: true }).waitFor();
    const reason = await state.locator(".question-reason").textContent();
    demand(/groups_max is 100;/.test(reason), reason);
  }
  await page.waitForFunction(() => document.querySelector("#questions-note").textContent === "12 questions, 1 stopped");
}

/** Only the refused requests are reported by the browser. */
async function nothingElse(all) {
  for (const { page, trouble } of all) {
    demand((await page.locator("#editor img").count()) === 0, "a message is no markup");
    await untroubled(page, trouble.filter((what) => !/ 40[013] /.test(what)));
  }
}
