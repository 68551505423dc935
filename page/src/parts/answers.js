import { orderAnswers } from "../charts/catalogue.js";
import { byId, h, setText } from "../dom.js";
import { number } from "../text/format.js";
import { Card } from "./card.js";

/** Minimum time between drawings: under load there are a hundred epochs per second. */
const DRAW_INTERVAL_MS = 200;
/** Interval at which expired marks of changed rows are removed. */
const FRESH_MARK_MS = 3_000;

/** All answers, always drawn as of the same epoch. */
export function answers(held) {
  const [place, cards, due] = [byId("cards"), new Map(), new Set()];
  let [timer, settle] = [0, 0];
  place.replaceChildren(...Array.from({ length: 6 }, () => h("div", { class: "card half waiting", "aria-hidden": "true" })));

  function drawDue() {
    timer = 0;
    if ([...held.held.keys()].some((name) => !cards.has(name))) set();
    for (const name of due) cards.get(name)?.update(held.held.get(name));
    due.clear();
    setText(byId("answers-note"), `${number(cards.size)} answers, all as of the same epoch`);
    clearTimeout(settle);
    settle = setTimeout(() => cards.forEach((card, name) => card.update(held.held.get(name))), FRESH_MARK_MS);
  }

  function set() {
    for (const [name, answer] of held.held) if (!cards.has(name)) cards.set(name, new Card(answer));
    place.replaceChildren(...orderAnswers([...cards.keys()]).map((name) => cards.get(name).element));
  }

  return {
    /** Schedules a drawing of these answers. */
    draw(names) {
      for (const name of names) due.add(name);
      if (timer === 0) timer = setTimeout(drawDue, DRAW_INTERVAL_MS);
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
