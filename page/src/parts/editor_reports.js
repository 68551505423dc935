import { h } from "../dom.js";
import { memoryWords } from "../text/memory.js";
import { sentence } from "../text/words.js";
import { answerTable } from "./answer_table.js";
import { codeBlock } from "./code.js";
import { sortableTable } from "./table.js";

/**
 * What a check found: columns, order of the rows, memory, notes and plan.
 *
 * @param {{columns: {name: string, type: string, nullable: boolean}[], order: string[], plan: string[], memory: any, notes: string[]}} reply
 */
export function checkReport({ columns, order, plan, memory, notes }) {
  const list = sortableTable("Columns", [
    { key: "name", title: "Column" },
    { key: "type", title: "Type" },
    { key: "nullable", title: "Nulls", shown: (value) => (value ? "possible" : "never") },
  ]);
  list.update(columns);
  const code = codeBlock("Plan");
  code.textContent = plan.join("\n");
  return h(
    "div",
    { class: "report" },
    list.element,
    h("p", {}, `Rows are listed by ${[...order, "all columns"].join(", then ")}.`),
    h("h4", {}, "Memory"),
    ...memoryWords(memory).map((line) => h("p", {}, line)),
    notes.length > 0 ? h("h4", {}, "Notes") : null,
    notes.length > 0 ? h("ul", {}, ...notes.map((note) => h("li", {}, sentence(note)))) : null,
    h("h4", {}, "Plan"),
    code,
  );
}

/** The rows of a try. */
export function tryReport(name, { columns, rows }) {
  if (rows.length === 0) return h("p", { class: "empty" }, "There are no rows to show.");
  const table = answerTable(name ? `Rows of ${name}` : "Rows", columns);
  table.update(rows);
  return table.element;
}
