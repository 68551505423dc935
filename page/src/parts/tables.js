import { byId, h, setText } from "../dom.js";
import { number } from "../text/format.js";
import { verificationWords } from "../text/verification.js";
import { withCount } from "../text/words.js";
import { sortableTable } from "./table.js";

/** The Delta tables: rows committed by all runs, and whether the answers were found to be theirs. */
export function tables() {
  const list = sortableTable("Tables", [
    { key: "table", title: "Table" },
    { key: "rows", title: "Rows (all runs)", numeric: true, shown: number },
    { key: "files", title: "Files", numeric: true, shown: number },
    { key: "version", title: "Version", numeric: true, shown: number },
  ]);
  const none = h("p", { class: "empty" }, "This run writes no tables. Its answers are lost when it ends; [tables] or --tables keeps them.");
  const [body, verified] = [byId("tables-body"), byId("tables-verified")];
  return (status) => {
    const durable = status.durable_epoch;
    const wanted = status.tables.length > 0 ? list.element : none;
    if (body.firstChild !== wanted) body.replaceChildren(wanted);
    const count = status.commits ? `${withCount(status.commits.count, "commit", number(status.commits.count))} in this run. ` : "";
    const note = durable === null ? "" : durable >= status.epoch ? "Everything shown is committed" : "Newer rows wait for the next commit";
    setText(byId("tables-note"), count + note);
    list.update(status.tables);
    const found = verificationWords(status.verification, Date.parse(status.server_time));
    verified.hidden = found === null;
    verified.dataset.state = found?.isWrong ? "wrong" : "equal";
    setText(verified, found?.words ?? "");
  };
}
