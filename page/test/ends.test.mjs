import assert from "node:assert/strict";
import test from "node:test";
import { withEnds } from "../src/graph/ends.js";

const node = (id, name, records) => ({ id, name, records, state: null, bytes: null, inside: 0 });
const GRAPH = { nodes: [node(1, "pin input", 7), node(2, "user input", 2), node(3, "Measures", 9), node(4, "Probe", 3)], edges: [{ from: 1, to: 3, records: 7 }, { from: 2, to: 3, records: 2 }, { from: 3, to: 4, records: 3 }], hidden: 5 };
const source = (name, read) => ({ source: name, read });
const status = (sources, tables) => ({ this_run: { read: 10, written: 9, rejected: 1 }, tables, answers: [{ rows: 4 }, { rows: 1 }], sources });

test("sources_parse_tables_and_answers_stand_around_the_operators", () => {
  const { nodes, edges, hidden } = withEnds(GRAPH, status([source("kafka/a.pin/0", 4), source("kafka/a.pin/1", 4), source("kafka/a.user/0", 2)], [{ rows: 30 }]));
  assert.deepEqual(nodes.map(({ name }) => name), ["kafka/a.pin", "kafka/a.user", "Parse and clean", "pin input", "user input", "Measures", "Answers", "Delta tables"]);
  assert.equal(nodes[0].detail, "2 partitions");
  assert.equal(nodes.at(-1).detail, "30 rows committed");
  assert.equal(nodes.find(({ name }) => name === "Answers").detail, "2 answers");
  const named = edges.map(({ from, to, records }) => [from, to, records]);
  for (const edge of [["source kafka/a.pin", "parse", 8], ["parse", 1, 7], ["parse", "tables", 10], [3, 4, 3]]) assert.ok(named.some((one) => JSON.stringify(one) === JSON.stringify(edge)), JSON.stringify(edge));
  assert.equal(nodes.find(({ name }) => name === "Answers").count, "5 rows");
  assert.deepEqual(edges.filter(({ uncounted }) => uncounted).map(({ to }) => to), [4]);
  assert.equal(hidden, 5);
});

test("many_sources_are_one_node_and_a_run_without_tables_has_none", () => {
  const { nodes } = withEnds(GRAPH, status(Array.from({ length: 9 }, (_, at) => source(`recording/${at}.jsonl`, 1)), []));
  assert.deepEqual(nodes.map(({ name }) => name), ["9 sources", "Parse and clean", "pin input", "user input", "Measures", "Answers"]);
});

test("without_a_status_the_graph_stays_as_it_is", () => {
  assert.equal(withEnds(GRAPH, null), GRAPH);
});
