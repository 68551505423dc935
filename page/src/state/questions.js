/**
 * A question as in `GET /questions`. Figures are null where none was reported.
 *
 * @typedef {object} Question
 * @property {string} name
 * @property {"builtin" | "configured" | "added"} origin
 * @property {"live" | "filling" | "waiting" | "stopped" | "invalid"} state
 * @property {number | null} progress from 0 to 1, while it fills
 * @property {string | null} reason
 * @property {number | null} since_epoch
 * @property {string} sql
 * @property {string} plan
 * @property {{name: string, type: string}[]} columns
 * @property {boolean} replaces whether it fills in the place of a question of the same name, which answers until then
 * @property {boolean} editable
 * @property {number | null} groups
 * @property {number | null} rows
 * @property {number | null} bytes
 * @property {number | null} texts
 * @property {number | null} faults
 * @property {number | null} ns_per_ind
 *
 * @typedef {{question: Question, replacement: Question | null}} Entry
 */

/** The questions of the run as last reported, by name, in the server's order. */
export class Questions {
  /** @type {Map<string, Entry>} */
  entries = new Map();
  editing = false;
  trying = false;
  /** When the last reply was requested, milliseconds. Null before the first one. */
  askedAt = null;

  /**
   * @param {{questions: Question[], editing: boolean, trying: boolean}} reply
   * @param {number} askedAt when it was requested, milliseconds of a monotonic clock
   */
  take({ questions, editing, trying }, askedAt) {
    this.entries = entriesByName(questions);
    [this.editing, this.trying, this.askedAt] = [editing, trying, askedAt];
  }

  /** Whether something fills or waits, so that news come soon. */
  isBusy() {
    return [...this.entries.values()].some(({ question, replacement }) => replacement !== null || isPending(question));
  }

  /** Whether a question has an answer now. Unknown questions have none. */
  isLive(name) {
    return this.entries.get(name)?.question.state === "live";
  }
}

/** A question that fills in the place of another belongs to the entry of that one. */
function entriesByName(questions) {
  const entries = new Map();
  for (const question of questions) {
    const entry = entries.get(question.name);
    if (!entry) entries.set(question.name, { question, replacement: null });
    else if (question.replaces) entry.replacement = question;
    else entries.set(question.name, { question, replacement: entry.question });
  }
  return entries;
}

const isPending = ({ state }) => state === "filling" || state === "waiting";

/**
 * What must be done so that the held answers are those of the reported questions.
 *
 * Answers come from the change stream and questions from a poll, so either can be ahead. An answer that came after the
 * questions were requested is not removed. A live question without an answer, or with one from before it was replaced, needs a
 * new snapshot, unless the stream has not come to the question's first epoch yet.
 *
 * @param {Questions} questions
 * @param {{held: Map<string, import("./answers.js").Answer>, epoch: number}} answers
 * @returns {{gone: string[], missing: Question[]}} answers to remove; questions whose answers need a snapshot
 */
export function compareWithHeld(questions, { held, epoch }) {
  const gone = [...held.values()].filter(({ name, snapshotAt }) => !questions.isLive(name) && snapshotAt < questions.askedAt);
  const live = [...questions.entries.values()].map(({ question }) => question).filter(({ name }) => questions.isLive(name));
  const missing = live.filter((question) => epoch >= (question.since_epoch ?? 0) && !isOf(held.get(question.name), question));
  return { gone: gone.map(({ name }) => name), missing };
}

/** Whether an answer is that of this question, and not of one that it replaced. */
function isOf(answer, { columns: wanted, since_epoch: since }) {
  if (!answer || answer.snapshotEpoch < (since ?? 0)) return false;
  const { columns } = answer;
  return columns.length === wanted.length && columns.every(({ name, type }, at) => name === wanted[at].name && type === wanted[at].type);
}
