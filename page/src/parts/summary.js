import { SERIES, throughput } from "../charts/throughput.js";
import { byId, h, unit, setText } from "../dom.js";
import { bytes, milliseconds, number, rate, span } from "../text/format.js";
import { keyValues } from "./key_values.js";

const SHOWN = ["rate", "lag", "latency", "memory"];

/** Throughput, lag, latency and memory: current values and the last ten minutes. */
export function summary() {
  const figures = keyValues(byId("figures"));
  const charts = SHOWN.map(chart);
  const [rateChart, ...others] = charts.map(({ element }) => element);
  byId("rate-chart").append(rateChart);
  byId("time-charts").append(...others);
  let points = [];

  function facts(status) {
    const { this_run: run, all_time: all, tables, memory } = status;
    const lag = points.at(-1)?.lag ?? null;
    const before = all.read > run.read;
    figures([
      ["Read in this run", number(run.read), [before ? `${number(all.read)} in all runs` : "", run.redelivered > 0 ? `${number(run.redelivered)} delivered again` : ""].filter(Boolean).join(", ")],
      ["Rejected in this run", number(run.rejected), all.rejected > run.rejected ? `${number(all.rejected)} in all runs` : share(run.rejected, run.read)],
      ["Still to be read", lag === null ? "–" : number(lag), lag === null ? "not known by these sources" : late(status)],
      ["Rows in tables", tables.length > 0 ? number(tables.reduce((total, table) => total + table.rows, 0)) : "–", tables.length > 0 ? durable(status) : "this run writes no tables"],
      ["Memory", memory.resident_bytes === null ? "–" : bytes(memory.resident_bytes), held(status)],
      ["Running for", span(status.uptime_seconds), `pinflow ${status.version}`],
    ]);
  }

  return {
    /** Shows a new status. */
    update(status, history) {
      points = history.points;
      const pace = history.rate();
      setText(byId("pace"), pace === null ? "–" : rate(pace));
      setText(byId("now-note"), emptyWords(status));
      facts(status);
    },
    /** Draws up to now by the server's clock. The time since the last sample is a gap. */
    tick(now, isLost) {
      setText(byId("pace-unit"), isLost ? "records per second, before the connection was lost" : "records per second");
      for (const one of charts) one.show(points, now);
    },
  };
}

/** The hint while nothing was read yet. */
function emptyWords({ all_time: all, sources }) {
  if (all.read > 0) return "";
  if (sources.length === 0) return "No partition found yet. If this stays, run “pinflow check” with the configuration: it names what is missing.";
  const names = sources.slice(0, 3).map(({ source }) => source).join(", ");
  return `Waiting for the first record from ${names}${sources.length > 3 ? ` and ${number(sources.length - 3)} more` : ""}.`;
}

function durable({ epoch, durable_epoch: committed }) {
  return committed !== null && committed >= epoch ? "everything that was read" : "more with the next commit";
}

/** What uses the memory: keys, if the run counts them. */
function held({ state_sizes: state, memory }) {
  return state ? `${number(state.inds.records)} keys (ind)` : `${number(memory.symbols)} texts`;
}

function late(status) {
  const most = Math.max(0, ...status.sources.map((source) => source.lag_ms ?? 0));
  return most > 0 ? `up to ${milliseconds(most)} behind` : "";
}

function share(part, whole) {
  if (part === 0 || whole === 0) return "";
  const percent = (part / whole) * 100;
  return percent < 0.01 ? "below 0.01 % of records" : `${percent.toFixed(percent < 1 ? 2 : 1)} % of records`;
}

/** The chart of one metric over the last ten minutes. */
function chart(of) {
  const { title } = SERIES[of];
  const body = h("div", { class: "time-chart-body" }, h("p", { class: "empty" }, "Waiting for the first samples…"));
  const element = h("figure", { class: `time-chart time-chart-${of}` }, h("figcaption", {}, title), body);
  let [width, points, now] = [0, [], 0];
  const draw = () => {
    if (width === 0 || points.length < 2) return;
    body.replaceChildren(throughput(points, of, { width: width / unit(), height: body.clientHeight / unit(), now }));
  };
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) < 1) return;
    width = contentRect.width;
    draw();
  }).observe(body);
  return {
    element,
    show(shown, at) {
      [points, now] = [shown, at];
      // Hide a chart without data.
      element.hidden = points.length >= 2 && points.every((point) => point[of] === null);
      draw();
    },
  };
}
