import { h } from "../dom.js";
import { problemRanges } from "../text/problems.js";

const ROWS_MIN = 8;
const ROWS_MAX = 28;

/**
 * A text area for SQL with line numbers. Marks lie in a layer behind its text.
 *
 * @param {{id: string, described: string, changed: () => void}} options `described`: id of the element that lists the problems
 */
export function sqlField({ id, described, changed }) {
  const numbers = h("pre", { class: "sql-numbers", "aria-hidden": "true" });
  const marks = h("pre", { class: "sql-marks", "aria-hidden": "true" });
  const area = h("textarea", {
    id,
    class: "sql-text",
    wrap: "off",
    rows: ROWS_MIN,
    spellcheck: "false",
    autocomplete: "off",
    autocapitalize: "off",
    "aria-describedby": described,
    oninput: typed,
    onscroll: follow,
  });
  const element = h("div", { class: "sql-field" }, numbers, h("div", { class: "sql-layers" }, marks, area));
  let ranges = [];
  count();

  function typed() {
    // The places of problems are those of the text that was sent.
    mark([]);
    count();
    changed();
  }

  function count() {
    const lines = area.value.split("\n").length;
    numbers.textContent = Array.from({ length: lines }, (_, at) => at + 1).join("\n");
    area.rows = Math.min(ROWS_MAX, Math.max(ROWS_MIN, lines + 1));
    follow();
  }

  function follow() {
    marks.scrollTop = numbers.scrollTop = area.scrollTop;
    marks.scrollLeft = area.scrollLeft;
  }

  /** Marks the words that caused these problems. */
  function mark(problems) {
    ranges = problemRanges(area.value, problems);
    const parts = [];
    let from = 0;
    for (const range of [...ranges].filter(Boolean).sort((one, other) => one.start - other.start)) {
      if (range.start < from) continue;
      parts.push(area.value.slice(from, range.start), h("mark", {}, area.value.slice(range.start, range.end) || " "));
      from = range.end;
    }
    marks.replaceChildren(...parts.map((part) => (typeof part === "string" ? document.createTextNode(part) : part)), `${area.value.slice(from)}\n`);
    if (problems.length > 0) area.setAttribute("aria-invalid", "true");
    else area.removeAttribute("aria-invalid");
    follow();
  }

  return {
    element,
    mark,
    /** Selects the word that caused the problem with this number. */
    select(at) {
      area.focus();
      const range = ranges[at];
      if (range) area.setSelectionRange(range.start, Math.max(range.end, range.start));
    },
    focus: () => area.focus(),
    get value() {
      return area.value;
    },
    set value(text) {
      area.value = text;
      typed();
    },
  };
}
