import { catalogue } from "../charts/catalogue.js";
import { h, unit, write } from "../dom.js";
import { ordered } from "../state/answers.js";
import { number } from "../text/format.js";
import { counted, words } from "../text/words.js";
import { choice } from "./switch.js";
import { table } from "./table.js";

/** How long a changed row stays marked. */
const FRESH_MS = 2_500;

/** One answer: its chart, and the table that the chart is drawn from. */
export class Plate {
  #view = "Table";
  #answer;
  #width = 0;

  /** @param {{name: string, columns: import("../state/answers.js").Column[]}} answer */
  constructor({ name, columns }) {
    this.known = catalogue(name, columns);
    const title = this.known.title ?? words(name);
    const id = `answer-${name}`;
    this.chart = h("div", { class: "chart" });
    this.table = table(title, columns.map(heading));
    this.count = h("span", { class: "plate-count" });
    this.body = h("div", { class: "plate-body" });
    const views = this.known.draw ? choice(`View of ${title}`, ["Chart", "Table"], (view) => this.#show(view)) : null;
    this.element = h(
      "article",
      { class: `plate ${this.known.span}`, "aria-labelledby": id, "data-answer": name },
      h("header", {}, h("div", {}, h("h3", { id }, title), h("p", { class: "plate-note" }, this.known.note ?? "")), views?.element ?? null),
      this.body,
      h("footer", {}, this.count),
    );
    if (views) views.choose("Chart");
    else this.#show("Table");
    new ResizeObserver(([{ contentRect }]) => {
      if (Math.abs(contentRect.width - this.#width) < 1) return;
      this.#width = contentRect.width;
      this.#draw();
    }).observe(this.body);
  }

  /** Shows the answer as it stands now. */
  update(answer) {
    this.#answer = answer;
    this.#draw();
  }

  #show(view) {
    this.#view = view;
    this.body.replaceChildren(view === "Chart" ? this.chart : this.table.element);
    this.#draw();
  }

  #draw() {
    if (!this.#answer) return;
    const { columns, rows, fresh } = this.#answer;
    const list = ordered(rows.values(), columns);
    write(this.count, counted(list.length, "row", number(list.length)));
    if (list.length === 0) {
      this.body.replaceChildren(h("p", { class: "empty" }, "Nothing yet. The first posts that match will stand here."));
      return;
    }
    const wanted = this.#view === "Chart" ? this.chart : this.table.element;
    if (this.body.firstChild !== wanted) this.body.replaceChildren(wanted);
    const since = performance.now() - FRESH_MS;
    const isFresh = (row) => (fresh.get(JSON.stringify(row)) ?? -Infinity) > since;
    if (this.#view === "Table") this.table.update(list, isFresh);
    else if (this.#width > 0) this.chart.replaceChildren(this.known.draw(list, columns, this.#width / unit(), isFresh));
  }
}

/** How a column of an answer is headed and written. Years are names of groups: without separators, on the left. */
function heading({ name, type }) {
  const numeric = type !== "text" && name !== "year" && !name.endsWith("_year");
  return { key: name, title: words(name), numeric, shown: numeric ? number : undefined };
}
