import { byId, h, setText } from "../dom.js";
import { drawGraph } from "../graph/draw.js";
import { withEnds } from "../graph/ends.js";
import { layoutGraph } from "../graph/layout.js";
import { simplifyGraph } from "../graph/simplify.js";
import { RequestError, fetchJson } from "../net/request.js";
import { bytes, number } from "../text/format.js";
import { withCount } from "../text/words.js";
import { choiceButtons } from "./switch.js";
import { sortableTable } from "./table.js";

const [MAIN, ALL, TABLE] = ["Main operators", "All operators", "Table"];

/** The running dataflow with record counts, plus sources, parsing, tables and answers. */
export function dataflow() {
  const body = byId("dataflow-body");
  const [chart, empty] = [h("div", { class: "graph-scroll", tabindex: "0", role: "region", "aria-label": "Drawing of the dataflow" }), h("p", { class: "empty" })];
  const list = operatorTable();
  const state = { view: MAIN, now: null, before: null, laid: null, shape: "" };
  const views = choiceButtons("View of the dataflow", [MAIN, ALL, TABLE], (view) => {
    state.view = view;
    show();
  });
  views.choose(MAIN);
  new ResizeObserver(show).observe(body);

  function show() {
    if (!state.now) return;
    const wanted = state.view === TABLE ? list.element : chart;
    if (body.lastChild !== wanted) body.replaceChildren(views.element, wanted);
    if (state.view === TABLE) showTable();
    else showDrawing();
  }

  function showTable() {
    const rateOf = rates(state.before?.graph.operators, state.now.graph.operators, ({ id }) => id, elapsed());
    list.update(state.now.graph.operators.map((operator) => ({ ...operator, rate: rateOf(operator.id) })));
  }

  function showDrawing() {
    const drawn = (look) => look && withEnds(simplifyGraph(look.graph, state.view === ALL), look.status);
    const [now, before] = [drawn(state.now), drawn(state.before)];
    const room = body.clientWidth;
    const shape = JSON.stringify([room, now.nodes.map(({ id }) => id), now.edges.map(({ from, to }) => [from, to])]);
    // Lay out again only if the graph changed; otherwise update the numbers.
    if (shape !== state.shape) [state.shape, state.laid] = [shape, layoutGraph(now, room)];
    const by = new Map(now.nodes.map((node) => [node.id, node]));
    const laid = {
      ...state.laid,
      nodes: state.laid.nodes.map((node) => ({ ...node, ...by.get(node.id) })),
      edges: state.laid.edges.map((edge, at) => ({ ...edge, records: now.edges[at].records })),
    };
    const edgeKey = ({ from, to }) => `${from} ${to}`;
    const nodeRate = rates(before?.nodes, now.nodes, ({ id }) => id, elapsed());
    const edgeRate = rates(before?.edges, now.edges, edgeKey, elapsed());
    chart.replaceChildren(drawGraph(laid, nodeRate, (edge) => edgeRate(edgeKey(edge))));
    const hidden = now.hidden > 0 ? `. ${withCount(now.hidden, "operator", number(now.hidden))} that only pass records on: see “${ALL}”` : "";
    const rebuilt = state.now.status?.tables.length > 0 && state.now.status.all_time.read > state.now.status.this_run.read ? ". Inputs count the rows that were read back from the tables, too" : "";
    const operators = now.nodes.filter(({ end }) => !end).length;
    setText(byId("dataflow-note"), `${withCount(operators, "operator", number(operators))}, counts of this run${rebuilt}${hidden}`);
  }

  const elapsed = () => (state.before ? (state.now.at - state.before.at) / 1000 : 0);

  function nothing(why) {
    setText(empty, why);
    if (body.firstChild !== empty) body.replaceChildren(empty);
  }

  return async (status) => {
    try {
      const graph = await fetchJson("/graph");
      // The workers have not built the dataflow yet.
      if (graph.operators.length === 0) return nothing("The dataflow is being set up.");
      [state.before, state.now] = [state.now, { graph, status, at: performance.now() }];
      show();
    } catch (error) {
      if (!(error instanceof RequestError) || state.now) return;
      nothing(`Not yet: ${error.message}.`);
    }
  };
}

/** Records per second between two samples, by key. Null if unknown. */
function rates(before, now, keyOf, seconds) {
  const counts = (all) => new Map((all ?? []).map((one) => [keyOf(one), one.records]));
  const [was, is] = [counts(before), counts(now)];
  return (key) => (seconds > 0 && was.has(key) && is.get(key) >= was.get(key) ? (is.get(key) - was.get(key)) / seconds : null);
}

function operatorTable() {
  const figure = (value) => (value === null || value === undefined ? "–" : number(Math.round(value)));
  return sortableTable("Operators", [
    { key: "name", title: "Operator" },
    { key: "id", title: "Number", numeric: true },
    { key: "records", title: "Records", numeric: true, shown: figure },
    { key: "rate", title: "Records/s", numeric: true, shown: figure },
    { key: "state_records", title: "Held records", numeric: true, shown: figure },
    { key: "state_bytes", title: "Held bytes", numeric: true, shown: (value) => (value === null ? "–" : bytes(value)) },
  ]);
}
