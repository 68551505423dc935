import { byId, h, write } from "../dom.js";
import { number } from "../text/format.js";
import { table } from "./table.js";

/** What is durable. */
export function tables() {
  const list = table("Tables", [
    { key: "table", title: "Table" },
    { key: "version", title: "Version", numeric: true, shown: number },
    { key: "rows", title: "Rows", numeric: true, shown: number },
    { key: "files", title: "Files", numeric: true, shown: number },
  ]);
  const none = h("p", { class: "empty" }, "This run keeps no tables: its answers live as long as it does.");
  const body = byId("tables-body");
  return (status) => {
    const durable = status.durable_epoch;
    const wanted = status.tables.length > 0 ? list.element : none;
    if (body.firstChild !== wanted) body.replaceChildren(wanted);
    const behind = durable === null ? null : status.epoch - durable;
    write(byId("tables-note"), behind === null ? "" : behind > 0 ? `${number(behind)} epochs wait for the next commit` : "All that is shown is committed");
    list.update(status.tables);
  };
}
