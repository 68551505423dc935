import { byId, write } from "../dom.js";
import { clock, number } from "../text/format.js";
import { pairs } from "./pairs.js";

/** What each state is called, and what follows from it. */
const STATES = {
  connecting: ["Connecting…", ""],
  live: ["Live", ""],
  rebuilding: ["Rebuilding", "The answers are read back from the tables. They appear here when they are whole."],
  paused: ["Paused", "Rows cannot be written, so nothing more is read. The answers below stand as they were."],
  lost: ["Connection lost", "What stands below is the last that came. This page tries again by itself."],
  locked: ["A token is wanted", ""],
};

/** What a program says, as a sentence: with a capital, a full stop, and numbers that can be read. */
function sentence(text) {
  const grouped = text.replace(/\b\d{4,15}\b/g, (digits) => number(Number(digits)));
  return `${grouped.charAt(0).toUpperCase()}${grouped.slice(1)}${/[.!?]$/.test(grouped) ? "" : "."}`;
}

/** The title block: what runs, how it is, and which cut is shown. */
export function block() {
  const [cut, mark, said, notice] = [pairs(byId("cut")), byId("state"), byId("state-words"), byId("notice")];
  let seen = "";
  return {
    /** @param {keyof typeof STATES} kind @param {string} [why] */
    state(kind, why = "") {
      const [name, means] = STATES[kind];
      if (mark.dataset.state !== kind) mark.dataset.state = kind;
      document.body.dataset.state = kind;
      write(said, name);
      notice.hidden = means === "";
      notice.dataset.state = kind;
      write(notice, [means, why && sentence(why)].filter(Boolean).join(" "));
      title(kind);
    },
    /** @param {{epoch: number, asOf: string | null, durable: number | null}} shown */
    cut({ epoch, asOf, durable }) {
      const waits = durable === null ? [] : [["Durable", number(durable), durable >= epoch ? "all of it" : `${number(epoch - durable)} to be written`]];
      cut([["Epoch", number(epoch), ""], ["As of", asOf ? clock(asOf) : "–", ""], ...waits]);
    },
    /** @param {any} status */
    run({ pipeline }) {
      write(byId("pipeline"), pipeline);
      seen = pipeline;
      title(mark.dataset.state);
    },
  };

  function title(kind) {
    const name = seen ? `${seen} · pinflow` : "pinflow";
    document.title = kind === "live" ? name : `${STATES[kind][0]} · ${name}`;
  }
}
