import { withCount } from "../text/words.js";
import { number } from "../text/format.js";

/** Up to this many sources get a node each. More share one node. */
const SOURCES_DRAWN_MAX = 4;
/** Timely's name of the last operator, where the changes of the answers leave the dataflow. */
const LAST_OPERATOR = "Probe";

/**
 * Adds nodes for sources, parsing, tables and answers. They are no timely operators, so `/graph` does not have them. Their
 * counts come from the status of the run.
 *
 * @param {{nodes: import("./simplify.js").Node[], edges: import("./simplify.js").Edge[], hidden: number}} graph
 * @param {any} status reply of `/status`; null before the first one
 */
export function withEnds(graph, status) {
  const inputs = graph.nodes.filter(({ name }) => / input$/.test(name));
  if (!status || inputs.length === 0) return graph;
  const { this_run: run, tables, answers } = status;
  const sources = sourceNodes(status.sources);
  const parse = end("parse", "Parse and clean", run.read);
  const last = graph.nodes.find(({ name }) => name === LAST_OPERATOR);
  const nodes = [...sources, parse, ...graph.nodes.map((node) => (node === last ? { ...node, ...answersNode(answers) } : node))];
  const edges = [
    ...sources.map(({ id, records }) => ({ from: id, to: parse.id, records })),
    ...inputs.map(({ id, records }) => ({ from: parse.id, to: id, records })),
    // Answers leave the dataflow outside of its channels, so the edge to the last operator has no count.
    ...graph.edges.map((edge) => (edge.to === last?.id ? { ...edge, uncounted: true } : edge)),
  ];
  if (tables.length > 0) {
    const rows = tables.reduce((total, table) => total + table.rows, 0);
    nodes.push({ ...end("tables", "Delta tables", run.written + run.rejected), detail: `${number(rows)} rows committed` });
    edges.push({ from: parse.id, to: "tables", records: run.written + run.rejected });
  }
  return { nodes, edges, hidden: graph.hidden };
}

const end = (id, name, records) => ({ id, name, records, state: null, bytes: null, inside: 0, end: true });

function answersNode(answers) {
  const rows = answers.reduce((total, answer) => total + answer.rows, 0);
  return { name: "Answers", count: withCount(rows, "row", number(rows)), detail: withCount(answers.length, "answer"), end: true };
}

/** One node for each file, topic or stream, or one for all if there are many. */
function sourceNodes(partitions) {
  const groups = new Map();
  for (const { source, read } of partitions) {
    const name = source.split("/").slice(0, 2).join("/");
    const group = groups.get(name) ?? { name, partitions: 0, records: 0 };
    groups.set(name, { name, partitions: group.partitions + 1, records: group.records + read });
  }
  if (groups.size > SOURCES_DRAWN_MAX) {
    const records = partitions.reduce((total, { read }) => total + read, 0);
    return [{ ...end("sources", `${number(groups.size)} sources`, records), detail: withCount(partitions.length, "partition", number(partitions.length)) }];
  }
  return [...groups.values()].map(({ name, partitions: count, records }) => ({ ...end(`source ${name}`, name, records), detail: withCount(count, "partition", number(count)) }));
}
