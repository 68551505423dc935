/**
 * Simplifies the dataflow for drawing. Operators that only pass records on (map, concat, scope boundaries) are left out and
 * their neighbours connected. An inner scope is drawn as one node.
 *
 * @typedef {{id: number, name: string, scope: number | null, records: number, state_records: number | null, state_bytes: number | null}} Operator
 * @typedef {{from: number, to: number, records: number}} Channel
 * @typedef {{id: number, name: string, records: number, state: number | null, bytes: number | null, inside: number}} Node
 * @typedef {{from: number, to: number, records: number}} Edge
 */

const PLUMBING = /^(as_?collection|branch|concat\w*|consolidate\w*|distinct\w*|egress|enter\w*|exchange|feedback|filter|flat_?map\w*|ingress|inspect\w*|leave\w*|map\w*|negate|ok_?err|partition|rename|results_in|to_?stream)\b/i;

/**
 * @param {{operators: Operator[], channels: Channel[]}} graph
 * @param {boolean} all keeps operators that only pass records on
 * @returns {{nodes: Node[], edges: Edge[], hidden: number}}
 */
export function simplifyGraph({ operators, channels }, all) {
  const by = new Map(operators.map((operator) => [operator.id, operator]));
  const outermost = (id) => operators.some(({ scope }) => scope === id) && (by.get(id)?.scope ?? null) === null;
  const nodes = new Map();
  // An operator of an inner scope is drawn as that scope. The dataflow itself is no node.
  const drawn = (id) => {
    let at = by.get(id);
    while (at && at.scope !== null && by.has(at.scope) && !outermost(at.scope)) at = by.get(at.scope);
    return at && !outermost(at.id) ? at : null;
  };
  for (const operator of operators) {
    const at = drawn(operator.id);
    if (!at) continue;
    const node = nodes.get(at.id) ?? { id: at.id, name: at.name, records: at.records, state: null, bytes: null, inside: -1 };
    node.inside += 1;
    node.state = sum(node.state, operator.state_records);
    node.bytes = sum(node.bytes, operator.state_bytes);
    nodes.set(at.id, node);
  }
  const edges = new Map();
  const join = (from, to, records) => {
    if (from === to) return;
    const key = `${from} ${to}`;
    const edge = edges.get(key);
    if (edge) edge.records += records;
    else edges.set(key, { from, to, records });
  };
  for (const { from, to, records } of channels) {
    const [one, other] = [drawn(from), drawn(to)];
    if (one && other) join(one.id, other.id, records);
  }
  const before = nodes.size;
  if (!all) for (const node of [...nodes.values()]) if (isPlumbing(node)) bypass(node.id, nodes, edges, join);
  return { nodes: [...nodes.values()], edges: [...edges.values()], hidden: before - nodes.size };
}

function isPlumbing({ name, state, inside }) {
  return inside === 0 && !(state > 0) && PLUMBING.test(name);
}

/** Removes a node and connects its predecessors to its successors. */
function bypass(id, nodes, edges, join) {
  const all = [...edges.entries()];
  const [into, out] = [all.filter(([, { to }]) => to === id), all.filter(([, { from }]) => from === id)];
  // Keep nodes at an end, where records enter or leave, and nodes that connect many to many, which avoid crossings.
  if (into.length === 0 || out.length === 0 || (into.length > 1 && out.length > 1)) return;
  for (const [key] of [...into, ...out]) edges.delete(key);
  for (const [, { from, records: came }] of into) {
    for (const [, { to, records: went }] of out) join(from, to, into.length > 1 ? came : went);
  }
  nodes.delete(id);
}

const sum = (one, other) => (one === null && (other === null || other === undefined) ? null : (one ?? 0) + (other ?? 0));
