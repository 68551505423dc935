import { byId, h, setText } from "../dom.js";
import { RequestError } from "../net/request.js";
import { dropQuestion, sendQuestion } from "../net/questions.js";
import { number } from "../text/format.js";
import { problemWords } from "../text/problems.js";
import { sentence, withCount } from "../text/words.js";
import { confirmDrop } from "./confirm.js";
import { checkReport, tryReport } from "./editor_reports.js";
import { sqlField } from "./sql_field.js";

/** Rows that a try shows. */
const TRIED_ROWS = 100;
const DOING = { check: "Checking…", try: "Trying…", add: "Adding…", replace: "Replacing…" };

/**
 * The editor: checks, tries, adds, replaces and drops questions.
 *
 * @param {import("../state/questions.js").Questions} questions
 * @param {{permitted: <T>(send: (token?: string) => Promise<T>) => Promise<T | null>, changed: () => void}} to
 *   `permitted`: sends, and asks for a token if the server wants another one. Null if none was given.
 *   `changed`: the questions changed, so poll them soon
 */
export function questionEditor(questions, { permitted, changed }) {
  const [form, name, report, problems, said] = [byId("editor"), byId("editor-name"), byId("editor-report"), byId("editor-problems"), byId("editor-said")];
  const field = sqlField({ id: "editor-sql", described: "editor-problems", changed: () => clear() });
  byId("editor-field").replaceChildren(field.element);
  const buttons = { check: byId("editor-check"), try: byId("editor-try"), save: byId("editor-save") };
  let busy = false;
  /** The question that was added or replaced last, until it is complete. */
  let watched = null;

  buttons.check.addEventListener("click", () => send("check"));
  buttons.try.addEventListener("click", () => send("try"));
  buttons.save.addEventListener("click", () => send(isReplacement() ? "replace" : "add"));
  // Enter in the name changes nothing in the run.
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send("check");
  });
  name.addEventListener("input", show);
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    send("check");
  });

  const isReplacement = () => questions.entries.get(name.value.trim())?.question.editable === true;

  function clear() {
    problems.replaceChildren();
    report.replaceChildren();
    setText(said, "");
    watched = null;
  }

  async function send(what) {
    // A check and a try need no name.
    name.required = what === "add" || what === "replace";
    if (busy || !name.reportValidity()) return;
    clear();
    field.mark([]);
    setBusy(true);
    setText(said, DOING[what]);
    const question = { name: name.value.trim(), sql: field.value, limit: TRIED_ROWS };
    const reply = await permitted((token) => sendQuestion(what, question, token)).catch(failed);
    setBusy(false);
    if (reply === null) setText(said, "Not done: no token was given.");
    else if (reply !== undefined) done(what, question, reply);
  }

  function done(what, question, reply) {
    if (what === "check") {
      setText(said, "No problems.");
      report.replaceChildren(checkReport(reply));
    } else if (what === "try") {
      setText(said, tried(reply));
      report.replaceChildren(tryReport(question.name, reply));
    } else {
      const kept = reply.stored ? "It is stored beside the tables, so a restart keeps it." : "It is not stored: without [tables] it lasts as long as this run.";
      setText(said, `${question.name} is ${what === "add" ? "added" : "accepted as a replacement"}: ${reply.state}. ${kept}`);
      watched = question.name;
      changed();
    }
  }

  /** Says when the question that was sent last has an answer, or why it has none. */
  function announceOutcome() {
    const { question, replacement } = questions.entries.get(watched) ?? {};
    const newest = replacement ?? question;
    if (!newest || newest.state === "filling" || newest.state === "waiting") return;
    const outcome = newest.state === "live" ? "is complete. Its answer is on this page." : `is ${newest.state}: ${sentence(newest.reason ?? "no reason was given")}`;
    setText(said, `${watched} ${outcome}`);
    watched = null;
  }

  function failed(error) {
    const found = error instanceof RequestError && Array.isArray(error.fields.problems) ? error.fields.problems : null;
    if (!found) return setText(said, `Not done: ${sentence(reasonOf(error))}`);
    field.mark(found);
    setText(said, `${withCount(found.length, "problem")}:`);
    problems.replaceChildren(...found.map((problem, at) => h("li", {}, h("button", { type: "button", onclick: () => field.select(at) }, problemWords(problem)))));
    // The first problem is where the next key goes.
    problems.querySelector("button")?.focus();
  }

  function setBusy(is) {
    busy = is;
    for (const button of Object.values(buttons)) button.setAttribute("aria-disabled", String(is));
  }

  /** Shows what is possible now. */
  function show() {
    form.hidden = !questions.editing;
    byId("editor-off").hidden = questions.editing || questions.askedAt === null;
    buttons.try.hidden = !questions.trying;
    setText(buttons.save, isReplacement() ? "Replace" : "Add");
    announceOutcome();
  }

  /** Drops a question, if that is confirmed. */
  async function drop(dropped) {
    if (!(await confirmDrop(dropped))) return;
    clear();
    try {
      const reply = await permitted((token) => dropQuestion(dropped, token));
      setText(said, reply === null ? "Not dropped: no token was given." : `${dropped} is dropped.`);
      // The button that was pressed disappears with its row.
      said.focus();
      changed();
    } catch (error) {
      setText(said, `${dropped} is not dropped: ${sentence(reasonOf(error))}`);
    }
  }

  return {
    show,
    drop,
    /** Whether something is being written. */
    isOpen: () => form.contains(document.activeElement),
    /** Takes a question's SQL into the editor. */
    edit(question) {
      name.value = question.editable ? question.name : freeName(question.name, questions.entries);
      field.value = question.sql;
      show();
      form.scrollIntoView();
      field.focus();
    },
  };
}

/** Browsers have different texts for requests that failed. */
function reasonOf(error) {
  if (error instanceof TypeError) return "the server cannot be reached";
  return error.name === "TimeoutError" ? "the server did not answer in time" : error.message;
}

function tried({ rows, rows_total: total, faults }) {
  const shown = rows.length < total ? `The first ${number(rows.length)} of ${withCount(total, "row", number(total))}` : withCount(total, "row", number(total));
  return `${shown} over the tables${faults > 0 ? `; ${withCount(faults, "operation", number(faults))} had no result` : ""}.`;
}

/** `NAME_2`, `NAME_3`, … that no question has. */
export function freeName(name, entries) {
  let at = 2;
  while (entries.has(`${name}_${at}`)) at += 1;
  return `${name}_${at}`;
}
