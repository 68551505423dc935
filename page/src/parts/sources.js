import { byId, h, write } from "../dom.js";
import { number, position, span } from "../text/format.js";
import { counted } from "../text/words.js";
import { table } from "./table.js";

const figure = (value) => (value === null ? "–" : number(value));

/** Where each partition stands. */
export function sources() {
  const list = table(
    "Sources",
    [
      { key: "source", title: "Partition" },
      { key: "position", title: "Position", numeric: true, shown: position, by: ({ position: text }) => text.padStart(64) },
      { key: "lag", title: "Lag", numeric: true, shown: lag },
      { key: "rate", title: "Records/s", numeric: true, shown: figure },
      { key: "read", title: "Read", numeric: true, shown: figure },
      { key: "written", title: "Written", numeric: true, shown: figure },
      { key: "rejected", title: "Rejected", numeric: true, shown: (value) => (value > 0 ? h("span", { class: "wrong" }, number(value)) : "0") },
      { key: "redelivered", title: "Redelivered", numeric: true, shown: figure },
    ],
    { shown: 24 },
  );
  byId("sources-body").replaceChildren(list.element);
  let before = null;
  return (status, now) => {
    const paced = status.sources.map((source) => ({ ...source, rate: pace(before, source, now) }));
    before = { at: now, read: new Map(status.sources.map(({ source, read }) => [source, read])) };
    write(byId("sources-note"), counted(paced.length, "partition", number(paced.length)));
    list.update(paced);
  };
}

function pace(before, { source, read }, now) {
  const last = before?.read.get(source);
  if (last === undefined || read < last) return null;
  return Math.round(((read - last) * 1000) / (now - before.at));
}

function lag(value, { lag_ms: late }) {
  const [records, time] = [value === null ? "–" : number(value), late ? ` (${span(late / 1000)})` : ""];
  return records + time;
}
