import "./style/page.css";
import { Refused, askJson } from "./net/ask.js";
import { follow } from "./net/follow.js";
import { poll } from "./net/poll.js";
import { answers } from "./parts/answers.js";
import { block } from "./parts/block.js";
import { dataflow } from "./parts/dataflow.js";
import { gate } from "./parts/gate.js";
import { now } from "./parts/now.js";
import { rejected } from "./parts/rejected.js";
import { sections } from "./parts/sections.js";
import { sources } from "./parts/sources.js";
import { tables } from "./parts/tables.js";
import { theme } from "./parts/theme.js";
import { Answers } from "./state/answers.js";
import { History } from "./state/history.js";

const STATUS_MS = 1_000;
const GRAPH_MS = 2_000;

const [held, past] = [new Answers(), new History()];
const parts = { block: block(), now: now(), sources: sources(), tables: tables(), rejected: rejected(), dataflow: dataflow() };
const drawAnswers = answers(held);
/** What the connection is at, and what the run says of itself. The worse of both is shown. */
const at = { connection: { kind: "connecting" }, run: { state: "running", epoch: 0, as_of: null, durable_epoch: null } };

theme();
sections();
follow({
  epoch(events) {
    drawAnswers([...held.take(events, performance.now())]);
    cut();
  },
  state(connection) {
    at.connection = connection;
    state();
  },
  unlocked: gate(),
});
poll(STATUS_MS, status);
poll(GRAPH_MS, async () => {
  if (at.connection.kind === "live") await parts.dataflow();
});

async function status() {
  if (at.connection.kind !== "live" && at.connection.kind !== "waiting") return;
  try {
    const told = await askJson("/status");
    const when = Date.now();
    past.add(told, when);
    at.run = told;
    parts.block.run(told);
    parts.now(told, past);
    parts.sources(told, when);
    parts.tables(told);
    await parts.rejected(told);
    state();
    cut();
  } catch (error) {
    // That nobody answers is seen, and said, by who follows the changes. What else goes wrong is ours.
    if (!(error instanceof Refused) && !(error instanceof TypeError) && error.name !== "TimeoutError") throw error;
  }
}

function state() {
  const { kind, why } = at.connection;
  if (kind === "waiting") parts.block.state("rebuilding", at.run.state === "rebuilding" ? at.run.waits_for : why);
  else if (kind === "live" && at.run.state === "paused") parts.block.state("paused", at.run.waits_for);
  else parts.block.state(kind, kind === "lost" ? why : "");
}

/** Epochs that change no answer are told of by the run alone. */
function cut() {
  const { epoch, as_of: asOf, durable_epoch: durable } = at.run;
  if (Math.max(epoch, held.epoch) > 0) parts.block.cut({ epoch: Math.max(epoch, held.epoch), asOf: asOf ?? held.asOf, durable });
}
