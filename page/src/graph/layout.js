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
  const laid = {
    width,
    height,
    nodes: nodes.map((node) => ({ ...node, ...box(graph.node(String(node.id))) })),
    edges: edges.map((edge) => ({ ...edge, points: graph.edge(String(edge.from), String(edge.to)).points })),
  };
  return isReversed(laid.nodes, across) ? mirrored(laid, across) : laid;
}

const box = ({ x, y }) => ({ x: x - WIDTH / 2, y: y - HEIGHT / 2, width: WIDTH, height: HEIGHT });

/** Whether nodes that stand beside each other do so in the reverse of the order in which they came: pin, geo, user. */
function isReversed(nodes, across) {
  const [rank, place] = across ? ["x", "y"] : ["y", "x"];
  let balance = 0;
  nodes.forEach((one, at) => {
    for (const other of nodes.slice(at + 1)) if (one[rank] === other[rank]) balance += Math.sign(one[place] - other[place]);
  });
  return balance > 0;
}

/** The same layout, turned over: dagre keeps lines apart, and which side is which is all the same to it. */
function mirrored({ width, height, nodes, edges }, across) {
  const node = (one) => (across ? { ...one, y: height - one.y - one.height } : { ...one, x: width - one.x - one.width });
  const point = ({ x, y }) => (across ? { x, y: height - y } : { x: width - x, y });
  return { width, height, nodes: nodes.map(node), edges: edges.map((edge) => ({ ...edge, points: edge.points.map(point) })) };
}
