import { Graph, layout as dagre } from "@dagrejs/dagre";

/** Room for a node's words. */
const WIDTH = 168;
const HEIGHT = 58;
/** As small as it is drawn to fit; what needs more room than that is scrolled. */
const SMALLEST = 0.62;

/**
 * Sets the nodes: from left to right if that fits, else from top to bottom.
 *
 * @param {{nodes: import("./simplify.js").Node[], edges: import("./simplify.js").Edge[]}} graph
 * @param {number} room the width that there is
 */
export function layout(graph, room) {
  const across = set(graph, true);
  const laid = across.width <= room ? across : set(graph, false);
  const scale = laid.width > room && room / laid.width >= SMALLEST ? room / laid.width : 1;
  return { ...laid, scale };
}

function set({ nodes, edges }, across) {
  const graph = new Graph();
  graph.setGraph({ rankdir: across ? "LR" : "TB", nodesep: across ? 22 : 20, ranksep: across ? 72 : 46, marginx: 2, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id } of nodes) graph.setNode(String(id), { width: WIDTH, height: HEIGHT });
  for (const { from, to } of edges) graph.setEdge(String(from), String(to));
  dagre(graph);
  const { width, height } = graph.graph();
  return {
    width,
    height,
    nodes: nodes.map((node) => ({ ...node, ...box(graph.node(String(node.id))) })),
    edges: edges.map((edge) => ({ ...edge, points: graph.edge(String(edge.from), String(edge.to)).points })),
  };
}

const box = ({ x, y }) => ({ x: x - WIDTH / 2, y: y - HEIGHT / 2, width: WIDTH, height: HEIGHT });
