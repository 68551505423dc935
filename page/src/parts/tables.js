import { byId, h, setText } from "../dom.js";
import { number } from "../text/format.js";
import { withCount } from "../text/words.js";
import { sortableTable } from "./table.js";

/** The Delta tables: rows committed by all runs. */
export function tables() {
  const list = sortableTable("Tables", [
    { key: "table", title: "Table" },
    { key: "rows", title: "Rows (all runs)", numeric: true, shown: number },
    { key: "files", title: "Files", numeric: true, shown: number },
    { key: "version", title: "Version", numeric: true, shown: number },
  ]);
  const none = h("p", { class: "empty" }, "This run writes no tables. Its answers are lost when it ends; [tables] or --tables keeps them.");
  const body = byId("tables-body");
  return (status) => {
    const durable = status.durable_epoch;
    const wanted = status.tables.length > 0 ? list.element : none;
    if (body.firstChild !== wanted) body.replaceChildren(wanted);
    const count = status.commits ? `${withCount(status.commits.count, "commit", number(status.commits.count))} in this run. ` : "";
    const note = durable === null ? "" : durable >= status.epoch ? "Everything shown is committed" : "Newer rows wait for the next commit";
    setText(byId("tables-note"), count + note);
    list.update(status.tables);
  };
}
