import { byId, h, write } from "../dom.js";
import { milliseconds, number, position, rate } from "../text/format.js";
import { counted } from "../text/words.js";
import { table } from "./table.js";

const figure = (value) => (value === null ? "–" : number(value));

/** Where each partition stands: how fast it is read, how far behind it is, and what was read in this run and in all. */
export function sources() {
  const list = table(
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
    const count = counted(status.sources.length, "partition", number(status.sources.length));
    write(byId("sources-note"), status.sources.length > 0 ? `${count}. Written, rejected and redelivered: in this run` : "");
    list.update(status.sources);
  };
}

/** Records, and how old the last one read is where there are more to read. */
function lag(value, { lag_ms: late }) {
  return (value === null ? "–" : number(value)) + (late ? ` (${milliseconds(late)})` : "");
}
