import { chartFor } from "../charts/catalogue.js";
import { h, unit, setText } from "../dom.js";
import { saveOnClick } from "../net/download.js";
import { listRows } from "../state/answers.js";
import { rowFilter } from "../state/filter.js";
import { moment, number } from "../text/format.js";
import { rowCount, readableName } from "../text/words.js";
import { choiceButtons } from "./switch.js";
import { sortableTable } from "./table.js";

/** How long a changed row stays marked, milliseconds. */
const FRESH_MS = 2_500;

/** One answer: chart, table, a filter for both, and a link to all rows as CSV. */
export class Card {
  #view = "Table";
  #answer;
  #width = 0;
  #query = "";

  /** @param {{name: string, columns: import("../state/answers.js").Column[]}} answer */
  constructor({ name, columns }) {
    this.known = chartFor(name, columns);
    const title = this.known.title ?? readableName(name);
    const id = `answer-${name}`;
    this.chart = h("div", { class: "chart" });
    this.table = sortableTable(title, columns.map(heading));
    this.count = h("span", { class: "card-count" });
    this.empty = h("p", { class: "empty" });
    this.body = h("div", { class: "card-body" });
    const views = this.known.draw ? choiceButtons(`View of ${title}`, ["Chart", "Table"], (view) => this.#show(view)) : null;
    this.element = h(
      "article",
      { class: `card ${this.known.span}`, "aria-labelledby": id, "data-answer": name },
      h("header", {}, h("div", {}, h("h3", { id }, title), h("p", { class: "card-note" }, this.known.note ?? "")), views?.element ?? null),
      this.body,
      h("footer", {}, this.count, this.#filter(title), this.#csv(name, title)),
    );
    if (views) views.choose("Chart");
    else this.#show("Table");
    new ResizeObserver(([{ contentRect }]) => {
      if (Math.abs(contentRect.width - this.#width) < 1) return;
      this.#width = contentRect.width;
      this.#draw();
    }).observe(this.body);
  }

  /** Shows the answer's current rows. */
  update(answer) {
    this.#answer = answer;
    this.#draw();
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
    this.body.replaceChildren(view === "Chart" ? this.chart : this.table.element);
    this.#draw();
  }

  #draw() {
    if (!this.#answer) return;
    const { columns, fresh } = this.#answer;
    const filtered = this.#query.trim() !== "";
    const all = listRows(this.#answer);
    const list = all.filter(rowFilter(this.#query));
    const shown = list.length === 0 ? this.#nothing(filtered) : this.#fill(list, columns, fresh);
    setText(this.count, rowCount({ total: all.length, matching: list.length, shown, filtered }));
  }

  #nothing(filtered) {
    setText(this.empty, filtered ? "No row matches the filter." : `No rows yet. ${this.known.needs ?? "Rows appear with the first records that match."}`);
    if (this.body.firstChild !== this.empty) this.body.replaceChildren(this.empty);
    return 0;
  }

  /** Updates the row count. */
  #fill(list, columns, fresh) {
    const wanted = this.#view === "Chart" ? this.chart : this.table.element;
    if (this.body.firstChild !== wanted) this.body.replaceChildren(wanted);
    const since = performance.now() - FRESH_MS;
    const isFresh = (row) => (fresh.get(JSON.stringify(row)) ?? -Infinity) > since;
    // The table has its own count of shown rows.
    if (this.#view === "Table") this.table.update(list, isFresh);
    if (this.#view === "Table" || this.#width === 0) return list.length;
    const { element, shown } = this.known.draw(list, columns, this.#width / unit(), isFresh);
    this.chart.replaceChildren(element);
    return shown;
  }
}

/** Heading and format of a column. Years are group names: no thousands separators, left-aligned. */
function heading({ name, type }) {
  const numeric = (type === "long" || type === "double") && name !== "year" && !name.endsWith("_year");
  const text = numeric ? number : type === "timestamp" ? moment : String;
  const shown = (value) => (value === null ? h("em", { class: "absent", title: "no value" }, "null") : text(value));
  return { key: name, title: readableName(name), numeric, shown };
}
