import { placed } from "../charts/catalogue.js";
import { byId, h, write } from "../dom.js";
import { number } from "../text/format.js";
import { Card } from "./card.js";

/** Charts are drawn at most so often: a flood closes a hundred epochs a second. */
const DRAW_INTERVAL_MS = 200;
/** Marks of what has just changed are taken away after a while, even if nothing comes. */
const FRESH_MARK_MS = 3_000;

/** All answers. Each drawing is of one epoch, for all of them. */
export function answers(held) {
  const [place, cards, due] = [byId("cards"), new Map(), new Set()];
  let [timer, settle] = [0, 0];
  place.replaceChildren(...Array.from({ length: 6 }, () => h("div", { class: "card half waiting", "aria-hidden": "true" })));

  function drawDue() {
    timer = 0;
    if ([...held.held.keys()].some((name) => !cards.has(name))) set();
    for (const name of due) cards.get(name)?.update(held.held.get(name));
    due.clear();
    write(byId("answers-note"), `${number(cards.size)} answers, all as of the same epoch`);
    clearTimeout(settle);
    settle = setTimeout(() => cards.forEach((card, name) => card.update(held.held.get(name))), FRESH_MARK_MS);
  }

  function set() {
    for (const [name, answer] of held.held) if (!cards.has(name)) cards.set(name, new Card(answer));
    place.replaceChildren(...placed([...cards.keys()]).map((name) => cards.get(name).element));
  }

  return {
    /** Draws these answers soon. */
    draw(names) {
      for (const name of names) due.add(name);
      if (timer === 0) timer = setTimeout(drawDue, DRAW_INTERVAL_MS);
    },
    /** Says which options are in force. */
    options({ duplicates, ties, top, median }) {
      const words = [
        duplicates === "latest" ? "latest row per ind" : "every delivery counts",
        ties === "all" ? "all tied rows" : "first of tied rows",
        top === "all" ? "all ranks" : `top ${top}`,
        median === "lower" ? "lower median" : "exact median",
      ];
      write(byId("options"), `Options: ${words.join(", ")}`);
      byId("options").title = `duplicates = ${duplicates}, ties = ${ties}, top = ${top}, median = ${median}`;
    },
  };
}
