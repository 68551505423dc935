import assert from "node:assert/strict";
import test from "node:test";
import { simplifyGraph } from "../src/graph/simplify.js";

const operator = (id, name, scope = 0, state = null) => ({ id, name, scope, records: id, state_records: state, state_bytes: state });
const channel = (from, to, records = 1) => ({ from, to, records });

test("plumbing is left out, and its neighbours are joined", () => {
  const operators = [operator(0, "Dataflow", null), operator(1, "Input"), operator(2, "Map"), operator(3, "Measures", 0, 7), operator(4, "Probe")];
  const graph = { operators, channels: [channel(1, 2, 10), channel(2, 3, 9), channel(3, 4, 2)] };
  const { nodes, edges, hidden } = simplifyGraph(graph, false);
  assert.deepEqual(nodes.map(({ name }) => name), ["Input", "Measures", "Probe"]);
  assert.deepEqual(edges.map(({ from, to, records }) => [from, to, records]).sort(), [[1, 3, 9], [3, 4, 2]]);
  assert.equal(hidden, 1);
  assert.equal(simplifyGraph(graph, true).nodes.length, 4);
});

test("what holds records is shown, whatever it is called", () => {
  const graph = { operators: [operator(1, "Input", null), operator(2, "Map", null, 3), operator(3, "Probe", null)], channels: [channel(1, 2), channel(2, 3)] };
  assert.deepEqual(simplifyGraph(graph, false).nodes.map(({ name }) => name), ["Input", "Map", "Probe"]);
});

test("a scope inside the dataflow is one node, with what its operators hold", () => {
  const operators = [operator(0, "Dataflow", null), operator(1, "Input"), operator(2, "Region"), operator(3, "Arrange", 2, 5), operator(4, "Join", 2, 6), operator(5, "Probe")];
  const graph = { operators, channels: [channel(1, 2), channel(1, 3), channel(3, 4), channel(4, 5, 8)] };
  const { nodes, edges } = simplifyGraph(graph, false);
  const region = nodes.find(({ name }) => name === "Region");
  assert.deepEqual([region.inside, region.state], [2, 11]);
  assert.deepEqual(edges.map(({ from, to }) => [from, to]).sort(), [[1, 2], [2, 5]]);
});

test("a graph without records, or without anything, is drawn too", () => {
  assert.deepEqual(simplifyGraph({ operators: [], channels: [] }, false), { nodes: [], edges: [], hidden: 0 });
});
