import "./style/page.css";
import { RequestError, fetchJson } from "./net/request.js";
import { followChanges } from "./net/follow.js";
import { pollWhileVisible } from "./net/poll.js";
import { answers } from "./parts/answers.js";
import { dataflow } from "./parts/dataflow.js";
import { login } from "./parts/login.js";
import { panel } from "./parts/panel.js";
import { rejected } from "./parts/rejected.js";
import { sections } from "./parts/sections.js";
import { sources } from "./parts/sources.js";
import { summary } from "./parts/summary.js";
import { tables } from "./parts/tables.js";
import { theme } from "./parts/theme.js";
import { Answers } from "./state/answers.js";
import { ServerClock } from "./state/clock.js";
import { History } from "./state/history.js";

const STATUS_INTERVAL_MS = 1_000;
const GRAPH_INTERVAL_MS = 2_000;
const CLOCK_INTERVAL_MS = 1_000;
const STATUS_TIMEOUT_MS = 10_000;
/** Longest silence before an open connection is shown as lost, milliseconds. */
const SILENCE_MAX_MS = 8_000;

const [held, past, server] = [new Answers(), new History(), new ServerClock()];
const parts = { panel: panel(), summary: summary(), sources: sources(), tables: tables(), rejected: rejected(), dataflow: dataflow() };
const answerCards = answers(held);
/** State of the connection, time of the last byte (monotonic clock), last status. */
const page = { connection: { kind: "connecting" }, heardAt: null, status: null };
const now = () => performance.now();

theme();
sections();
followChanges({
  epoch(events) {
    page.heardAt = now();
    answerCards.draw([...held.take(events, now())]);
  },
  state(connection) {
    page.connection = connection;
    if (connection.kind === "live") page.heardAt = now();
    showState();
  },
  unlocked: login(),
});
pollWhileVisible(STATUS_INTERVAL_MS, showStatus);
pollWhileVisible(GRAPH_INTERVAL_MS, async () => {
  if (page.connection.kind === "live") await parts.dataflow(page.status);
});
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
    page.status = status;
    server.set(status.server_time, now());
    past.add(status.history, now());
    parts.panel.run(status);
    parts.summary.update(status, past);
    parts.sources(status);
    parts.tables(status);
    answerCards.options(status.options);
    tick();
    await parts.rejected(status);
  } catch (error) {
    // The change stream reports an unreachable server. Any other error is a bug of the page.
    if (!(error instanceof RequestError) && !(error instanceof TypeError) && error.name !== "TimeoutError") throw error;
  }
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
