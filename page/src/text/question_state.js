import { sentence } from "./words.js";

const NAMES = { live: "live", filling: "filling", waiting: "waiting", stopped: "stopped", invalid: "invalid" };

/** The state of a question: `live`, `filling 40 %`. */
export function stateWords({ state, progress }) {
  const percent = state === "filling" && typeof progress === "number" ? ` ${Math.floor(progress * 100)} %` : "";
  return `${NAMES[state] ?? state}${percent}`;
}

const MEANS = {
  filling: "The rows that are already there are being added. The answer appears when it is complete.",
  waiting: "Another question is filling. This one is next.",
  stopped: "Its memory is freed. The run and the other questions continue.",
  invalid: "Its stored text does not compile. It is kept, and has no answer.",
};

/** What a state means. Empty for a live question. */
export const stateMeaning = ({ state }) => MEANS[state] ?? "";

/**
 * Why a question has no answer: as a sentence, or as a report of several lines with marks below words, whose spaces count.
 *
 * @returns {{words: string, report: string}} one of them is empty, or both
 */
export function stateReason({ reason }) {
  if (!reason) return { words: "", report: "" };
  return reason.includes("\n") ? { words: "", report: reason } : { words: sentence(reason), report: "" };
}

/** How many questions are in a state other than live: `1 filling, 2 stopped`. Empty if none is. */
export function countStates(states) {
  const counts = new Map();
  for (const state of states) if (state !== "live") counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${NAMES[state] ?? state}`).join(", ");
}
