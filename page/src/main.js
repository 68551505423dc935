import "./style/page.css";
import { RequestError, fetchJson } from "./net/request.js";
import { followChanges } from "./net/follow.js";
import { pollWhileVisible } from "./net/poll.js";
import { fetchQuestions } from "./net/questions.js";
import { answerCards } from "./parts/answers.js";
import { dataflow } from "./parts/dataflow.js";
import { questionEditor } from "./parts/editor.js";
import { login } from "./parts/login.js";
import { panel } from "./parts/panel.js";
import { processes } from "./parts/processes.js";
import { questionList } from "./parts/questions.js";
import { rejected } from "./parts/rejected.js";
import { sections } from "./parts/sections.js";
import { sources } from "./parts/sources.js";
import { summary } from "./parts/summary.js";
import { tables } from "./parts/tables.js";
import { theme } from "./parts/theme.js";
import { Answers } from "./state/answers.js";
import { ServerClock } from "./state/clock.js";
import { History } from "./state/history.js";
import { Questions, compareWithHeld } from "./state/questions.js";

const STATUS_INTERVAL_MS = 1_000;
const GRAPH_INTERVAL_MS = 2_000;
/** While a question fills or is written. */
const QUESTIONS_INTERVAL_MS = 1_000;
/** Otherwise. */
const QUESTIONS_IDLE_INTERVAL_MS = 5_000;
const CLOCK_INTERVAL_MS = 1_000;
const STATUS_TIMEOUT_MS = 10_000;
/** Longest silence before an open connection is shown as lost, milliseconds. */
const SILENCE_MAX_MS = 8_000;

const [answers, questions, past, server] = [new Answers(), new Questions(), new History(), new ServerClock()];
const parts = { panel: panel(), summary: summary(), sources: sources(), processes: processes(), tables: tables(), rejected: rejected(), dataflow: dataflow() };
const [cards, { unlocked, permitted }] = [answerCards(answers, questions), login()];
const editor = questionEditor(questions, { permitted, changed: () => pollQuestionsSoon() });
const showList = questionList(questions, editor);
/** State of the connection, time of the last byte (monotonic clock), last status, questions for which a snapshot was requested. */
const page = { connection: { kind: "connecting" }, heardAt: null, status: null, requested: new Set() };
const now = () => performance.now();

theme();
sections();
const stream = followChanges({
  epoch(events) {
    page.heardAt = now();
    cards.draw([...answers.take(events, now())]);
    // A question came or went: its SQL and state are polled.
    if (events.some(({ kind }) => kind !== "change")) pollQuestionsSoon();
  },
  state(connection) {
    page.connection = connection;
    if (connection.kind === "live") {
      page.heardAt = now();
      pollQuestionsSoon();
    }
    showState();
  },
  unlocked,
});
pollWhileVisible(STATUS_INTERVAL_MS, showStatus);
pollWhileVisible(GRAPH_INTERVAL_MS, async () => {
  if (page.connection.kind === "live") await parts.dataflow(page.status);
});
const pollQuestionsSoon = pollWhileVisible(() => (questions.isBusy() || editor.isOpen() ? QUESTIONS_INTERVAL_MS : QUESTIONS_IDLE_INTERVAL_MS), showQuestions);
// Update ages without new data.
setInterval(() => document.hidden || tick(), CLOCK_INTERVAL_MS);
// A hidden page does not poll, so the time does not count as silence of the server.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && page.heardAt !== null) page.heardAt = now();
});

async function showStatus() {
  const { kind } = page.connection;
  if (kind !== "live" && kind !== "waiting") return;
  try {
    const status = await fetchJson(`/status?history=${past.wanted(now())}`, { timeout: STATUS_TIMEOUT_MS });
    page.heardAt = now();
    if (JSON.stringify(status.questions) !== JSON.stringify(page.status?.questions)) pollQuestionsSoon();
    page.status = status;
    server.set(status.server_time, now());
    past.add(status.history, now());
    parts.panel.run(status);
    parts.summary.update(status, past);
    parts.sources(status);
    parts.processes(status);
    parts.tables(status);
    cards.options(status.options);
    tick();
    await parts.rejected(status);
  } catch (error) {
    ignoreUnreachable(error);
  }
}

/** Shows the questions, and settles differences between them and the answers. */
async function showQuestions() {
  const { kind } = page.connection;
  if (kind !== "live" && kind !== "waiting") return;
  try {
    const askedAt = now();
    questions.take(await fetchQuestions(), askedAt);
    const { gone, missing } = compareWithHeld(questions, answers);
    for (const name of gone) answers.held.delete(name);
    cards.updateQuestions(gone);
    showList();
    editor.show();
    if (missing.some(isNew)) stream.restart();
  } catch (error) {
    ignoreUnreachable(error);
  }
}

/** Whether no snapshot has been requested for this question yet. One is enough. */
function isNew({ name, since_epoch, columns }) {
  const key = JSON.stringify([name, since_epoch, columns]);
  return !page.requested.has(key) && page.requested.add(key);
}

/** The change stream reports an unreachable server. Any other error is a bug of the page. */
function ignoreUnreachable(error) {
  if (!(error instanceof RequestError) && !(error instanceof TypeError) && error.name !== "TimeoutError") throw error;
}

/** Updates what depends on time only. */
function tick() {
  showState();
  if (!page.status) return;
  parts.panel.freshness(page.status, server, now());
  parts.summary.tick(server.now(now()), document.body.dataset.state === "lost");
}

function showState() {
  const [{ kind, why }, { status }] = [page.connection, page];
  if (kind === "waiting") parts.panel.state("rebuilding", status?.state === "rebuilding" ? status.waits_for : why);
  else if (kind === "lost") parts.panel.state("lost", why, staleData());
  else if (kind === "live" && isSilent()) parts.panel.state("lost", "the server does not answer", staleData());
  else if (kind === "live" && status?.state === "paused") parts.panel.state("paused", status.waits_for);
  else parts.panel.state(kind);
}

const isSilent = () => !document.hidden && page.heardAt !== null && now() - page.heardAt > SILENCE_MAX_MS;

/** Age of the data on the page, and its time by the server's clock. */
function staleData() {
  const age = page.heardAt === null ? null : now() - page.heardAt;
  const serverNow = server.now(now());
  return { age, asOf: serverNow === null || age === null ? null : serverNow - age };
}
