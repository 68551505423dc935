import { byId, h, setText } from "../dom.js";
import { number } from "../text/format.js";
import { countStates, stateMeaning, stateReason, stateWords } from "../text/question_state.js";
import { withCount } from "../text/words.js";
import { COSTS } from "./question_details.js";
import { progressBar, sentenceStart, stateMark } from "./question_state.js";
import { sortableTable } from "./table.js";

const ORIGINS = { builtin: "Built in", configured: "Configured", added: "Added" };

/**
 * All questions with state and costs. Those that can be changed have buttons.
 *
 * @param {import("../state/questions.js").Questions} questions
 * @param {{edit: (question: import("../state/questions.js").Question) => void, drop: (name: string) => void}} actions
 */
export function questionList(questions, actions) {
  const cells = new Map();
  const cellsOf = ({ name }) => cells.get(name);
  const absent = (shown) => (value) => (value === null ? "–" : shown(value));
  const headings = [
    { key: "name", title: "Question", shown: (_, row) => cellsOf(row).name },
    { key: "state", title: "State", shown: (_, row) => cellsOf(row).state },
    { key: "origin", title: "Origin", shown: (value) => ORIGINS[value] ?? value },
    ...COSTS.map(({ key, title, shown }) => ({ key, title, numeric: true, shown: absent(shown) })),
  ];
  const plain = sortableTable("Questions", headings);
  const withButtons = sortableTable("Questions", [...headings, { key: "actions", title: "Change", shown: (_, row) => cellsOf(row).buttons, by: ({ editable }) => editable }]);
  const body = byId("questions-list");

  return () => {
    const rows = [...questions.entries.values()].map(({ question, replacement }) => ({ ...question, ...Object.fromEntries(COSTS.map(({ key, of }) => [key, of(question)])), replacement }));
    for (const row of rows) {
      if (!cells.has(row.name)) cells.set(row.name, rowCells(row.name, actions));
      cells.get(row.name).update(row);
    }
    const table = questions.editing ? withButtons : plain;
    if (body.firstChild !== table.element) body.replaceChildren(table.element);
    table.update(rows);
    const others = countStates(rows.map(({ state, replacement }) => replacement?.state ?? state));
    setText(byId("questions-note"), `${withCount(rows.length, "question", number(rows.length))}${others ? `, ${others}` : ""}`);
  };
}

/** The cells of a row that are more than text. They are made once, so that a poll does not take the focus away. */
function rowCells(name, actions) {
  let question = null;
  const link = h("a", { href: `#answer-${encodeURIComponent(name)}`, class: "question-name" }, name);
  const [mark, words, bar, reason] = [stateMark(), h("span", {}), progressBar(name), h("p", { class: "question-reason" })];
  const edit = h("button", { type: "button", class: "quiet", onclick: () => actions.edit(question) });
  const drop = h("button", { type: "button", class: "quiet", "aria-label": `Drop ${name}`, onclick: () => actions.drop(name) }, "Drop");
  return {
    name: link,
    state: h("div", { class: "question-cell" }, h("p", { class: "question-words" }, mark.element, words, bar.element), reason),
    buttons: h("div", { class: "question-buttons" }, edit, drop),
    update(row) {
      question = row;
      const shown = row.replacement ?? row;
      mark.update(shown.state);
      setText(words, row.replacement ? `Live, replacement ${stateWords(shown)}` : sentenceStart(stateWords(shown)));
      bar.update(shown);
      // A report of several lines is in the card.
      setText(reason, stateReason(shown).report ? stateMeaning(shown) : stateReason(shown).words);
      setText(edit, row.editable ? "Edit" : "Copy");
      edit.setAttribute("aria-label", row.editable ? `Edit ${name}` : `Copy ${name} into the editor`);
      drop.hidden = !row.editable;
    },
  };
}
