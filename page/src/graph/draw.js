import { s } from "../dom.js";
import { bytes, number, rate, short } from "../text/format.js";

/**
 * Draws a laid-out graph as SVG.
 *
 * @param {ReturnType<import("./layout.js").layoutGraph>} laid
 * @param {(id: number | string) => number | null} nodeRate records per second into a node
 * @param {(edge: {from: number | string, to: number | string}) => number | null} edgeRate records per second along an edge
 */
export function drawGraph(laid, nodeRate, edgeRate) {
  const most = Math.max(1, ...laid.edges.map(({ records }) => records));
  const edges = laid.edges.map((edge) => drawEdge(edge, edgeRate(edge), most));
  const nodes = laid.nodes.map((node) => drawNode(node, nodeRate(node.id)));
  const svg = s("svg", { viewBox: `0 0 ${laid.width} ${laid.height}`, width: laid.width * laid.scale, height: laid.height * laid.scale, class: "graph", role: "img" });
  svg.append(...edges, ...nodes);
  svg.setAttribute("aria-label", `The dataflow: ${laid.nodes.map(({ name }) => name).join(", ")}. The table has the operators with their figures.`);
  return svg;
}

function drawEdge({ points, records, uncounted }, flow, most) {
  // Logarithmic widths: inputs carry a thousand times the records of answers.
  const width = 1 + (records > 0 ? (Math.log10(records + 1) / Math.log10(most + 1)) * 3.5 : 0);
  const middle = points[Math.floor(points.length / 2)];
  const path = s("path", { d: curve(points), class: flow > 0 ? "edge flowing" : "edge", "stroke-width": width.toFixed(1) });
  const words = uncounted ? "" : flow > 0 ? `${rate(flow)}/s` : short(records);
  return s("g", {}, path, s("text", { x: middle.x, y: middle.y - 6, class: "edge-words" }, words));
}

function drawNode({ x, y, width, height, name, records, state, bytes: size, inside, count, detail, end }, pace) {
  const title = s("title", {}, inside > 0 ? `${name}, ${inside} operators inside` : name);
  const held = state === null ? (detail ?? (pace > 0 ? `${rate(pace)}/s` : "")) : `holds ${short(state)}${size === null ? "" : `, ${bytes(size)}`}`;
  return s(
    "g",
    { class: ["node", state > 0 ? "holds" : "", end ? "end" : ""].filter(Boolean).join(" "), transform: `translate(${x} ${y})` },
    title,
    s("rect", { width, height }),
    s("text", { x: 12, y: 19, class: "node-name" }, cut(name, 21)),
    s("text", { x: 12, y: 35, class: "node-words" }, count ?? `${number(records)} records${state !== null && pace > 0 ? `, ${rate(pace)}/s` : ""}`),
    s("text", { x: 12, y: 49, class: "node-words quiet" }, held),
  );
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** A smooth path through the points. */
function curve(points) {
  const [first, ...rest] = points;
  const parts = rest.map((point, at) => {
    const next = rest[at + 1];
    if (!next) return `L${point.x} ${point.y}`;
    return `Q${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`;
  });
  return `M${first.x} ${first.y}${parts.join("")}`;
}
