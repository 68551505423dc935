import { orderAnswers } from "../charts/catalogue.js";
import { byId, h, setText } from "../dom.js";
import { number } from "../text/format.js";
import { withCount } from "../text/words.js";
import { Card } from "./card.js";

/** Minimum time between drawings: under load there are a hundred epochs per second. */
const DRAW_INTERVAL_MS = 200;
/** Interval at which expired marks of changed rows are removed. */
const FRESH_MARK_MS = 3_000;

/**
 * A card for each question. All answers are always drawn as of the same epoch.
 *
 * @param {import("../state/answers.js").Answers} answers
 * @param {import("../state/questions.js").Questions} questions
 */
export function answerCards(answers, questions) {
  const { held } = answers;
  const [place, due] = [byId("cards"), new Set()];
  /** @type {Map<string, Card>} */
  const cards = new Map();
  let [timer, settle] = [0, 0];
  place.replaceChildren(...Array.from({ length: 6 }, () => h("div", { class: "card half waiting", "aria-hidden": "true" })));

  function drawDue() {
    timer = 0;
    arrange();
    for (const name of due) cards.get(name)?.update(held.get(name));
    due.clear();
    setText(byId("answers-note"), `${withCount(held.size, "answer", number(held.size))}, all as of the same epoch`);
    clearTimeout(settle);
    settle = setTimeout(() => cards.forEach((card, name) => card.update(held.get(name))), FRESH_MARK_MS);
  }

  /** Adds and removes cards so that there is one for each answer, and for each question that has none yet. */
  function arrange() {
    const wanted = columnsByName();
    let changed = false;
    for (const name of [...cards.keys()].filter((name) => !wanted.has(name))) changed = cards.delete(name);
    for (const [name, columns] of wanted) {
      if (fits(cards.get(name), columns)) continue;
      cards.set(name, new Card(name, columns));
      cards.get(name).updateQuestion(questions.entries.get(name));
      due.add(name);
      changed = true;
    }
    if (changed) place.replaceChildren(...orderAnswers([...wanted.keys()]).map((name) => cards.get(name).element));
  }

  const fits = (card, columns) => card?.shape === JSON.stringify(columns);

  /** Whether there is a card for each question already, and no other. */
  function isArranged() {
    const wanted = columnsByName();
    return wanted.size === cards.size && [...wanted].every(([name, columns]) => fits(cards.get(name), columns));
  }

  /** The columns of all answers, and of the questions that are not live. */
  function columnsByName() {
    const wanted = new Map([...held].map(([name, { columns }]) => [name, columns]));
    for (const [name, { question }] of questions.entries) {
      if (!wanted.has(name) && question.state !== "live") wanted.set(name, question.columns);
    }
    return wanted;
  }

  function draw(names) {
    for (const name of names) due.add(name);
    if (timer === 0) timer = setTimeout(drawDue, DRAW_INTERVAL_MS);
  }

  return {
    /** Schedules a drawing of these answers. */
    draw,
    /** Shows the questions as last reported. `gone` are the answers that are no longer held. */
    updateQuestions(gone) {
      for (const [name, card] of cards) card.updateQuestion(questions.entries.get(name));
      if (gone.length > 0 || !isArranged()) draw(gone);
    },
    /** Shows the options of the run. */
    options({ duplicates, ties, top, median }) {
      const words = [
        duplicates === "latest" ? "latest row per ind" : "every delivery counts",
        ties === "all" ? "all tied rows" : "first of tied rows",
        top === "all" ? "all ranks" : `top ${top}`,
        median === "lower" ? "lower median" : "exact median",
      ];
      setText(byId("options"), `Options: ${words.join(", ")}`);
      byId("options").title = `duplicates = ${duplicates}, ties = ${ties}, top = ${top}, median = ${median}`;
    },
  };
}
