import { Graph, layout as dagre } from "@dagrejs/dagre";

/** Size of a node, pixels. */
const WIDTH = 168;
const HEIGHT = 58;
/** Smallest scale. A larger graph is scrolled. */
const SMALLEST = 0.62;

/**
 * Lays the graph out: from left to right if that fits, else from top to bottom.
 *
 * @param {{nodes: import("./simplify.js").Node[], edges: import("./simplify.js").Edge[]}} graph
 * @param {number} room available width, pixels
 */
export function layoutGraph(graph, room) {
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

/** Whether parallel nodes are in reverse input order (pin, geo, user). */
function isReversed(nodes, across) {
  const [rank, place] = across ? ["x", "y"] : ["y", "x"];
  let balance = 0;
  nodes.forEach((one, at) => {
    for (const other of nodes.slice(at + 1)) if (one[rank] === other[rank]) balance += Math.sign(one[place] - other[place]);
  });
  return balance > 0;
}

/** The mirrored layout. dagre avoids crossings but does not keep the input order. */
function mirrored({ width, height, nodes, edges }, across) {
  const node = (one) => (across ? { ...one, y: height - one.y - one.height } : { ...one, x: width - one.x - one.width });
  const point = ({ x, y }) => (across ? { x, y: height - y } : { x: width - x, y });
  return { width, height, nodes: nodes.map(node), edges: edges.map((edge) => ({ ...edge, points: edge.points.map(point) })) };
}
