import { placed } from "../charts/catalogue.js";
import { byId, h, write } from "../dom.js";
import { number } from "../text/format.js";
import { Plate } from "./plate.js";

/** Charts are drawn at most so often: a flood closes a hundred epochs a second. */
const EVERY_MS = 200;
/** Marks of what has just changed are taken away after a while, even if nothing comes. */
const SETTLE_MS = 3_000;

/** All answers. Each drawing is of one epoch, for all of them. */
export function answers(held) {
  const [place, plates, due] = [byId("plates"), new Map(), new Set()];
  let [timer, settle] = [0, 0];
  place.replaceChildren(...Array.from({ length: 6 }, () => h("div", { class: "plate half waiting", "aria-hidden": "true" })));

  function draw() {
    timer = 0;
    if ([...held.held.keys()].some((name) => !plates.has(name))) set();
    for (const name of due) plates.get(name)?.update(held.held.get(name));
    due.clear();
    write(byId("answers-note"), `${number(plates.size)} answers, all of one epoch`);
    clearTimeout(settle);
    settle = setTimeout(() => plates.forEach((plate, name) => plate.update(held.held.get(name))), SETTLE_MS);
  }

  function set() {
    for (const [name, answer] of held.held) if (!plates.has(name)) plates.set(name, new Plate(answer));
    place.replaceChildren(...placed([...plates.keys()]).map((name) => plates.get(name).element));
  }

  return (names) => {
    for (const name of names) due.add(name);
    if (timer === 0) timer = setTimeout(draw, EVERY_MS);
  };
}
