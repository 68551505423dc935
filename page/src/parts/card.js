import { cardOf, chartOf } from "../charts/catalogue.js";
import { h, setText, unit } from "../dom.js";
import { saveOnClick } from "../net/download.js";
import { listRows } from "../state/answers.js";
import { rowFilter } from "../state/filter.js";
import { rowCount } from "../text/words.js";
import { questionDetails } from "./question_details.js";
import { questionState } from "./question_state.js";
import { answerTable } from "./answer_table.js";
import { choiceButtons } from "./switch.js";

/** How long a changed row stays marked, milliseconds. */
const FRESH_MS = 2_500;

/** One question: chart and table of its answer, a filter for both, a link to all rows as CSV, its state, SQL and plan. */
export class Card {
  #view = "Chart";
  /** @type {import("../state/answers.js").Answer | null} */
  #answer = null;
  #width = 0;
  #query = "";

  /** @param {string} name @param {import("../state/answers.js").Column[]} columns */
  constructor(name, columns) {
    this.shape = JSON.stringify(columns);
    this.known = cardOf(name);
    const { title } = this.known;
    const id = `answer-${name}`;
    this.chart = h("div", { class: "chart" });
    this.table = answerTable(title, columns);
    this.note = h("p", { class: "card-note" }, this.known.note);
    this.count = h("span", { class: "card-count" });
    this.empty = h("p", { class: "empty" });
    this.body = h("div", { class: "card-body" });
    this.views = choiceButtons(`View of ${title}`, ["Chart", "Table"], (view) => this.#show(view));
    this.state = questionState(title);
    this.details = questionDetails(title);
    this.footer = h("footer", {}, this.count, this.#filter(title), this.#csv(name, title));
    this.element = h(
      "article",
      { class: `card ${this.known.span}`, "aria-labelledby": id, "data-answer": name },
      h("header", {}, h("div", {}, h("h3", { id }, title), this.note), this.views.element),
      this.state.element,
      this.body,
      this.footer,
      this.details.element,
    );
    this.views.choose("Chart");
    new ResizeObserver(([{ contentRect }]) => {
      if (Math.abs(contentRect.width - this.#width) < 1) return;
      this.#width = contentRect.width;
      this.#draw();
    }).observe(this.body);
  }

  /** Shows the answer's current rows. Null: it has none, because the question is not live. */
  update(answer) {
    this.#answer = answer ?? null;
    this.#draw();
  }

  /** @param {import("../state/questions.js").Entry | undefined} entry */
  updateQuestion(entry) {
    this.state.update(entry);
    this.details.update(entry);
  }

  #filter(title) {
    const typed = (event) => {
      this.#query = event.target.value;
      this.#draw();
    };
    return h("input", { type: "search", class: "filter", placeholder: "Filter rows", "aria-label": `Filter the rows of ${title}`, autocomplete: "off", spellcheck: "false", oninput: typed });
  }

  #csv(name, title) {
    const link = h("a", { class: "csv", "aria-label": `${title}, all rows as CSV` }, "CSV");
    saveOnClick(link, `/answers/${encodeURIComponent(name)}?format=csv`, `${name}.csv`, (why) => setText(this.count, `CSV: ${why}`));
    return link;
  }

  #show(view) {
    this.#view = view;
    this.#draw();
  }

  #draw() {
    const hasAnswer = this.#answer !== null;
    this.body.hidden = this.footer.hidden = !hasAnswer;
    if (!hasAnswer) {
      this.views.element.hidden = true;
      return;
    }
    const filtered = this.#query.trim() !== "";
    const all = listRows(this.#answer);
    const list = all.filter(rowFilter(this.#query));
    // By all rows: a filter changes what is drawn, not how.
    const chart = chartOf(this.#answer, all);
    this.views.element.hidden = chart === null;
    setText(this.note, this.known.note || (chart?.words ?? ""));
    const shown = list.length === 0 ? this.#nothing(filtered) : this.#fill(list, chart);
    setText(this.count, rowCount({ total: all.length, matching: list.length, shown, filtered }));
  }

  #nothing(filtered) {
    setText(this.empty, filtered ? "No row matches the filter." : `No rows yet. ${this.known.needs}`);
    if (this.body.firstChild !== this.empty) this.body.replaceChildren(this.empty);
    return 0;
  }

  /** Draws the rows. Returns how many are shown. */
  #fill(list, chart) {
    const { columns, fresh } = this.#answer;
    const asChart = this.#view === "Chart" && chart !== null;
    const wanted = asChart ? this.chart : this.table.element;
    if (this.body.firstChild !== wanted) this.body.replaceChildren(wanted);
    const since = performance.now() - FRESH_MS;
    const isFresh = (row) => (fresh.get(JSON.stringify(row)) ?? -Infinity) > since;
    // The table has its own count of shown rows.
    if (!asChart) this.table.update(list, isFresh);
    if (!asChart || this.#width === 0) return list.length;
    const { element, shown } = chart.draw(list, columns, this.#width / unit(), isFresh);
    this.chart.replaceChildren(element);
    return shown;
  }
}
