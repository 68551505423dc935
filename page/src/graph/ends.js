import { counted } from "../text/words.js";
import { number } from "../text/format.js";

/** Sources that are drawn one by one; more of them are one node. */
const SOURCES_DRAWN_MAX = 4;
/** What timely calls the operator at the end of the graph, where the answers' changes leave it. */
const LAST_OPERATOR = "Probe";

/**
 * What stands around the operators: the sources, parsing, the tables and the answers. No timely operator does these, so
 * `/graph` does not have them; their counts are those of the run.
 *
 * @param {{nodes: import("./simplify.js").Node[], edges: import("./simplify.js").Edge[], hidden: number}} graph
 * @param {any} status as `/status` has it; null before the first
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
    // Answers leave the graph beside its channels: nothing is counted on the way to its last operator.
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
  return { name: "Answers", count: counted(rows, "row", number(rows)), detail: counted(answers.length, "answer"), end: true };
}

/** A node for each file, topic or stream; one for all if they are many. */
function sourceNodes(partitions) {
  const groups = new Map();
  for (const { source, read } of partitions) {
    const name = source.split("/").slice(0, 2).join("/");
    const group = groups.get(name) ?? { name, partitions: 0, records: 0 };
    groups.set(name, { name, partitions: group.partitions + 1, records: group.records + read });
  }
  if (groups.size > SOURCES_DRAWN_MAX) {
    const records = partitions.reduce((total, { read }) => total + read, 0);
    return [{ ...end("sources", `${number(groups.size)} sources`, records), detail: counted(partitions.length, "partition", number(partitions.length)) }];
  }
  return [...groups.values()].map(({ name, partitions: count, records }) => ({ ...end(`source ${name}`, name, records), detail: counted(count, "partition", number(count)) }));
}
