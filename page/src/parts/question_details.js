import { h, setText } from "../dom.js";
import { bytes, nanoseconds, number } from "../text/format.js";
import { stateWords } from "../text/question_state.js";
import { codeBlock } from "./code.js";
import { keyValues } from "./key_values.js";

const ORIGINS = { builtin: "built in", configured: "from the configuration", added: "added while running" };

/**
 * A question's SQL, plan, state and costs, closed at first.
 *
 * @param {string} title of its answer
 */
export function questionDetails(title) {
  const [sql, plan] = [codeBlock(`SQL of ${title}`), codeBlock(`Plan of ${title}`)];
  const list = h("dl", { class: "costs" });
  const facts = keyValues(list);
  const element = h("details", { class: "question" }, h("summary", { "aria-label": `SQL and plan of ${title}` }, "SQL and plan"), list, h("h4", {}, "SQL"), sql, h("h4", {}, "Plan"), plan);
  element.hidden = true;
  return {
    element,
    /** @param {import("../state/questions.js").Entry | undefined} entry undefined while the server has not reported it */
    update(entry) {
      element.hidden = entry === undefined;
      if (!entry) return;
      setText(sql, entry.question.sql.trimEnd());
      setText(plan, entry.question.plan.trimEnd() || "none");
      facts(factsOf(entry.question));
    },
  };
}

/** State and costs. What was not reported is left out. */
function factsOf(question) {
  const { origin, since_epoch: since } = question;
  const facts = [
    ["State", stateWords(question), since === null ? "" : `since epoch ${number(since)}`],
    ["Origin", ORIGINS[origin] ?? origin],
    ...COSTS.map(({ title, of, shown, means }) => [title, of(question) === null ? null : shown(of(question)), of(question) ? means : ""]),
  ];
  return facts.filter(([, value]) => value !== null);
}

/** The costs of a question: title, value (null if not reported), text, and what the value means unless it is 0. */
export const COSTS = [
  { key: "rows", title: "Rows", of: ({ rows }) => rows ?? null, shown: number },
  { key: "groups", title: "Groups", of: ({ groups }) => groups ?? null, shown: number },
  { key: "bytes", title: "Memory", of: (question) => question.bytes ?? null, shown: bytes },
  { key: "ns_per_ind", title: "Time per ind", of: ({ ns_per_ind: nanos }) => nanos ?? null, shown: nanoseconds },
  { key: "faults", title: "Faults", of: ({ faults }) => faults ?? null, shown: number, means: "operations without a result, which gave null" },
];
