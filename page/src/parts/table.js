import { h, setText } from "../dom.js";
import { compareValues } from "../state/answers.js";
import { number } from "../text/format.js";

/** Rows shown at first. */
const ROWS_SHOWN = 100;
/** Rows that one press of "Show more" adds. */
const ROWS_ADDED = 500;

/**
 * A table that is sorted by a column's heading: ascending, descending, original order.
 *
 * @typedef {object} Heading
 * @property {string} key
 * @property {string} title
 * @property {boolean} [numeric] right-aligned with tabular figures
 * @property {(value: any, row: any) => string | Node} [shown]
 * @property {(row: any) => any} [by] sort key, if not the value
 *
 * @param {string} caption for screen readers
 * @param {Heading[]} headings
 * @param {{shown?: number}} [options]
 */
export function sortableTable(caption, headings, { shown = ROWS_SHOWN } = {}) {
  const sort = { key: "", way: 1 };
  const state = { rows: [], fresh: () => false, limit: shown };
  const heads = headings.map((heading) => head(heading, () => turn(heading.key)));
  const body = h("tbody");
  const more = h("button", { type: "button", class: "quiet more", onclick: () => ((state.limit += ROWS_ADDED), draw()) });
  const scroll = h(
    "div",
    { class: "table-scroll", role: "region", tabindex: "0", "aria-label": `${caption}, as a table` },
    h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, ...heads)), body),
  );
  const cut = h("p", { class: "cut-note" }, h("span", {}), " ", more);
  const element = h("div", { class: "table" }, scroll, cut);

  function turn(key) {
    if (sort.key !== key) [sort.key, sort.way] = [key, 1];
    else if (sort.way === 1) sort.way = -1;
    else [sort.key, sort.way] = ["", 1];
    headings.forEach((heading, at) => {
      const way = sort.key === heading.key ? sort.way : 0;
      if (way === 0) heads[at].removeAttribute("aria-sort");
      else heads[at].setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    });
    draw();
  }

  function draw() {
    const heading = headings.find(({ key }) => key === sort.key);
    const by = heading?.by ?? ((row) => row[sort.key]);
    const rows = heading ? [...state.rows].sort((one, other) => compareValues(by(one), by(other)) * sort.way) : state.rows;
    const listed = rows.slice(0, state.limit);
    while (body.rows.length > listed.length) body.deleteRow(-1);
    listed.forEach((row, at) => fill(body.rows[at] ?? body.appendChild(blank(headings)), row));
    cut.hidden = rows.length <= listed.length;
    setText(cut.firstChild, `${number(listed.length)} of ${number(rows.length)} shown`);
    setText(more, `Show ${number(Math.min(ROWS_ADDED, rows.length - listed.length))} more`);
  }

  function fill(line, row) {
    line.classList.toggle("fresh", state.fresh(row));
    headings.forEach(({ key, shown: as }, at) => {
      const cell = line.cells[at];
      const value = row[key];
      const shown = as ? as(value, row) : value;
      // A node that is there already keeps the focus.
      if (shown instanceof Node) cell.firstChild === shown || cell.replaceChildren(shown);
      else setText(cell, shown === null || shown === undefined ? "–" : String(shown));
    });
  }

  return {
    element,
    /** Shows these rows. `fresh` tells which ones have just changed. */
    update(rows, fresh = () => false) {
      Object.assign(state, { rows, fresh });
      draw();
    },
  };
}

function head({ title, numeric }, press) {
  const mark = h("span", { class: "sort-mark", "aria-hidden": "true" });
  return h("th", { scope: "col", class: numeric ? "numeric" : null }, h("button", { type: "button", onclick: press }, title, mark));
}

function blank(headings) {
  return h("tr", {}, ...headings.map(({ numeric }) => h("td", { class: numeric ? "numeric" : null })));
}
