import { byId, setText } from "../dom.js";
import { ago, clock, milliseconds, number, span } from "../text/format.js";
import { sentence } from "../text/words.js";
import { keyValues } from "./key_values.js";

/** Title and explanation of each state. */
const STATES = {
  connecting: ["Connecting…", ""],
  live: ["Live", ""],
  rebuilding: ["Rebuilding", "The answers are read back from the tables and appear here when they are complete."],
  paused: ["Paused", "Rows cannot be written, so nothing more is read. The answers below stay as they are."],
  lost: ["Connection lost", "Connection lost."],
  locked: ["Token required", ""],
};

/** The side panel: pipeline, state and freshness of the data, and the notice that stays in view. */
export function panel() {
  const [facts, mark, said, notice] = [keyValues(byId("freshness")), byId("state"), byId("state-words"), byId("notice")];
  let pipeline = "";
  return {
    /**
     * @param {keyof typeof STATES} kind
     * @param {string} [why]
     * @param {{asOf: string | null, age: number | null}} [data] the data on the page and its age, milliseconds
     */
    state(kind, why = "", data = null) {
      const [name, means] = STATES[kind];
      if (mark.dataset.state !== kind) mark.dataset.state = kind;
      document.body.dataset.state = kind;
      setText(said, name);
      notice.hidden = means === "";
      notice.dataset.state = kind;
      setText(notice, [means, why && sentence(why), kind === "lost" ? stale(data) : ""].filter(Boolean).join(" "));
      title(kind);
    },
    /** @param {any} status @param {import("../state/clock.js").ServerClock} server @param {number} now */
    freshness({ epoch, as_of: asOf, latency, commits, durable_epoch: durable }, server, now) {
      const shown = epoch > 0 ? [clock(asOf), ago(server.age(asOf, now))] : ["–", "no data yet"];
      facts([
        ["Data as of", ...shown],
        ["Latency", latency.p50_ms === null ? "–" : milliseconds(latency.p50_ms), latency.p50_ms === null ? "no records in the last minute" : `99 % below ${milliseconds(latency.p99_ms)}`],
        ...(commits ? [["Committed", commits.last_at ? ago(server.age(commits.last_at, now)) : "–", committed(commits, durable, epoch)]] : []),
        ["Epoch", number(epoch), ""],
      ]);
    },
    /** @param {any} status */
    run({ pipeline: name }) {
      setText(byId("pipeline"), name);
      pipeline = name;
      title(mark.dataset.state);
    },
  };

  function title(kind) {
    const name = pipeline ? `${pipeline} · pinflow` : "pinflow";
    document.title = kind === "live" ? name : `${STATES[kind][0]} · ${name}`;
  }
}

function committed({ last_at: lastAt }, durable, epoch) {
  if (durable >= epoch) return lastAt ? "everything shown" : "nothing new in this run";
  return "newer rows wait for the next commit";
}

function stale(data) {
  if (!data || data.age === null) return "Retrying.";
  return `The data below is ${span(data.age / 1000)} old${data.asOf ? `, as of ${clock(data.asOf)}` : ""}. Retrying.`;
}
