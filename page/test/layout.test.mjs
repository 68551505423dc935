import assert from "node:assert/strict";
import test from "node:test";
import { layoutGraph } from "../src/graph/layout.js";

const node = (id) => ({ id, name: String(id), records: 1, state: null, bytes: null, inside: 0 });
const edge = (from, to) => ({ from, to, records: 1 });
const GRAPH = {
  nodes: ["parse", "pin", "geo", "user", "join", "tables"].map(node),
  edges: [edge("parse", "pin"), edge("parse", "geo"), edge("parse", "user"), edge("pin", "join"), edge("geo", "join"), edge("user", "join"), edge("parse", "tables")],
};

test("inputs_stand_in_the_order_in_which_they_came_and_lines_end_at_their_nodes", () => {
  for (const [room, place] of [[3_000, "y"], [300, "x"]]) {
    const { nodes, edges, width, height } = layoutGraph(GRAPH, room);
    const by = new Map(nodes.map((one) => [one.id, one]));
    const order = ["pin", "geo", "user"].map((id) => by.get(id)[place]);
    assert.deepEqual([...order].sort((one, other) => one - other), order);
    for (const { x, y, width: w, height: h } of nodes) assert.ok(x >= 0 && y >= 0 && x + w <= width && y + h <= height);
    const isAt = (point, { x, y, width: w, height: h }) => point.x >= x - 1 && point.x <= x + w + 1 && point.y >= y - 1 && point.y <= y + h + 1;
    for (const { from, to, points } of edges) assert.ok(isAt(points[0], by.get(from)) && isAt(points.at(-1), by.get(to)), `${from} ${to}`);
  }
});
