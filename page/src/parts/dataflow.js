import { byId, h, write } from "../dom.js";
import { draw } from "../graph/draw.js";
import { layout } from "../graph/layout.js";
import { simplify } from "../graph/simplify.js";
import { Refused, askJson } from "../net/ask.js";
import { bytes, number } from "../text/format.js";
import { counted } from "../text/words.js";
import { choice } from "./switch.js";
import { table } from "./table.js";

/** The graph as it runs, with what went through it. */
export function dataflow() {
  const body = byId("dataflow-body");
  const [chart, empty] = [h("div", { class: "graph-scroll", tabindex: "0", role: "region", "aria-label": "Drawing of the dataflow" }), h("p", { class: "empty" })];
  const list = operatorTable();
  const state = { graph: null, before: null, view: "Main operators", laid: null, shape: "" };
  const views = choice("View of the dataflow", ["Main operators", "All operators", "Table"], (view) => {
    state.view = view;
    show();
  });
  views.choose("Main operators");
  new ResizeObserver(show).observe(body);

  function show() {
    if (!state.graph) return;
    const wanted = state.view === "Table" ? list.element : chart;
    if (body.lastChild !== wanted) body.replaceChildren(views.element, wanted);
    const paces = pace(state.before, state.graph);
    if (state.view === "Table") list.update(state.graph.operators.map((one) => ({ ...one, rate: paces.node(one.id) })));
    else drawn(paces);
  }

  function drawn(paces) {
    const simple = simplify(state.graph, state.view === "All operators");
    const room = body.clientWidth;
    const shape = JSON.stringify([room, simple.nodes.map(({ id }) => id), simple.edges.map(({ from, to }) => [from, to])]);
    // The places stay while the graph does; only figures change.
    if (shape !== state.shape) [state.shape, state.laid] = [shape, layout(simple, room)];
    const by = new Map(simple.nodes.map((node) => [node.id, node]));
    const laid = {
      ...state.laid,
      nodes: state.laid.nodes.map((node) => ({ ...node, ...by.get(node.id) })),
      edges: state.laid.edges.map((edge, at) => ({ ...edge, records: simple.edges[at].records })),
    };
    const before = state.before ? simplify(state.before.graph, state.view === "All operators") : null;
    const earlier = new Map(before?.edges.map(({ from, to, records }) => [`${from} ${to}`, records]));
    const now = new Map(simple.edges.map(({ from, to, records }) => [`${from} ${to}`, records]));
    const flow = (from, to) => paces.per(earlier.get(`${from} ${to}`), now.get(`${from} ${to}`));
    chart.replaceChildren(draw(laid, paces.node, flow));
    const left = simple.hidden > 0 ? `, ${number(simple.hidden)} that only pass records on left out` : "";
    write(byId("dataflow-note"), counted(simple.nodes.length, "operator", number(simple.nodes.length)) + left);
  }

  function nothing(why) {
    write(empty, why);
    if (body.firstChild !== empty) body.replaceChildren(empty);
  }

  return async () => {
    try {
      const graph = await askJson("/graph");
      // Before the workers have installed it.
      if (graph.operators.length === 0) return nothing("Not yet: the dataflow is being set up.");
      const at = performance.now();
      state.before = state.graph ? { graph: state.graph, at: state.at, now: at } : null;
      Object.assign(state, { graph, at });
      show();
    } catch (error) {
      if (!(error instanceof Refused) || state.graph) return;
      nothing(`Not yet: ${error.message}.`);
    }
  };
}

/** Records a second between two looks. */
function pace(before, graph) {
  const seconds = before ? (before.now - before.at) / 1000 : 0;
  const records = new Map(before?.graph.operators.map((one) => [one.id, one.records]));
  const current = new Map(graph.operators.map((one) => [one.id, one.records]));
  const per = (was, is) => (seconds > 0 && was !== undefined && is >= was ? (is - was) / seconds : null);
  return { per, node: (id) => per(records.get(id), current.get(id)) };
}

function operatorTable() {
  const figure = (value) => (value === null || value === undefined ? "–" : number(Math.round(value)));
  return table("Operators", [
    { key: "name", title: "Operator" },
    { key: "id", title: "Number", numeric: true },
    { key: "records", title: "Records", numeric: true, shown: figure },
    { key: "rate", title: "Records/s", numeric: true, shown: figure },
    { key: "state_records", title: "Held records", numeric: true, shown: figure },
    { key: "state_bytes", title: "Held bytes", numeric: true, shown: (value) => (value === null ? "–" : bytes(value)) },
  ]);
}
