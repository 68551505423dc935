import { byId, h, setText } from "../dom.js";
import { milliseconds, number, position, rate } from "../text/format.js";
import { withCount } from "../text/words.js";
import { sortableTable } from "./table.js";

const figure = (value) => (value === null ? "–" : number(value));

/** Each partition: rate, lag, and counts of this run and of all runs. */
export function sources() {
  const list = sortableTable(
    "Sources",
    [
      { key: "source", title: "Partition" },
      { key: "records_per_sec", title: "Records/s", numeric: true, shown: (value) => (value === null ? "–" : rate(value)) },
      { key: "lag", title: "Lag", numeric: true, shown: lag },
      { key: "position", title: "Position", numeric: true, shown: position, by: ({ position: text }) => text.padStart(64) },
      { key: "read", title: "Read (this run)", numeric: true, shown: figure },
      { key: "read_all_time", title: "Read (all runs)", numeric: true, shown: figure },
      { key: "written", title: "Written", numeric: true, shown: figure },
      { key: "rejected", title: "Rejected", numeric: true, shown: (value) => (value > 0 ? h("span", { class: "wrong" }, number(value)) : "0") },
      { key: "redelivered", title: "Redelivered", numeric: true, shown: figure },
    ],
    { shown: 24 },
  );
  const none = h("p", { class: "empty" }, "No partition found yet. “pinflow check” with the configuration says what each source finds.");
  const body = byId("sources-body");
  return (status) => {
    const wanted = status.sources.length > 0 ? list.element : none;
    if (body.firstChild !== wanted) body.replaceChildren(wanted);
    const count = withCount(status.sources.length, "partition", number(status.sources.length));
    setText(byId("sources-note"), status.sources.length > 0 ? `${count}. Written, rejected and redelivered: in this run` : "");
    list.update(status.sources);
  };
}

/** Lag in records, and the age of the last record read if behind. */
function lag(value, { lag_ms: late }) {
  return (value === null ? "–" : number(value)) + (late ? ` (${milliseconds(late)})` : "");
}
