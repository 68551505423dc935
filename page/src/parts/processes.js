import { byId, setText } from "../dom.js";
import { ago, bytes, number } from "../text/format.js";
import { sortableTable } from "./table.js";

/** The processes of a cluster. Nothing is shown of a run that has only one. */
export function processes() {
  const list = sortableTable("Processes", [
    { key: "process", title: "Process", numeric: true, shown: number },
    { key: "address", title: "Address" },
    { key: "is_leader", title: "Part", shown: (leads) => (leads ? "leads" : "follows") },
    { key: "workers", title: "Workers", numeric: true, shown: number },
    { key: "read", title: "Read (this run)", numeric: true, shown: number },
    { key: "resident_bytes", title: "Memory", numeric: true, shown: (value) => (value === null ? "–" : bytes(value)) },
    { key: "silent_seconds", title: "Last heard", numeric: true, shown: (value) => ago(value * 1000) },
    { key: "waits_for", title: "Waits for", shown: (value) => value ?? "" },
  ]);
  const section = byId("processes");
  byId("processes-body").append(list.element);
  return (status) => {
    const all = status.processes ?? [];
    section.hidden = all.length === 0;
    if (section.hidden) return;
    setText(byId("processes-note"), "Every process parses and joins. The leader reads, commits and answers");
    list.update(all);
  };
}
