import { tide } from "../charts/tide.js";
import { byId, h, unit, write } from "../dom.js";
import { bytes, number, rate, span } from "../text/format.js";
import { pairs } from "./pairs.js";

/** Throughput and lag: what they are, and what they were over the last minutes. */
export function now() {
  const figures = pairs(byId("figures"));
  const [flow, lag] = [panel("Records a second", "rate"), panel("Still to be read", "lag")];
  byId("tides").append(flow.element, lag.element);
  lag.element.hidden = true;
  return (status, history) => {
    const sum = (of) => status.sources.reduce((total, source) => total + (source[of] ?? 0), 0);
    const [pace, left] = [history.rate(), history.points.at(-1)?.lag ?? null];
    const resident = status.memory.resident_bytes;
    const again = sum("redelivered");
    write(byId("pace"), pace === null ? "–" : rate(pace));
    figures([
      ["Read", number(sum("read")), again > 0 ? `${number(again)} delivered again` : ""],
      ["Still to be read", left === null ? "–" : number(left), left === null ? "these sources do not tell" : late(status)],
      ["Rejected", number(sum("rejected")), share(sum("rejected"), sum("read"))],
      ["Rows in tables", status.tables.length > 0 ? number(rows(status.tables)) : "–", status.tables.length > 0 ? durable(status) : "no tables are kept"],
      ["Memory", resident === null ? "–" : bytes(resident), held(status)],
      ["Up", span(status.uptime_seconds), `pinflow ${status.version}`],
    ]);
    flow.show(history.points);
    lag.show(history.points);
    // A panel that can say nothing takes no room.
    lag.element.hidden = history.points.every((point) => point.lag === null);
  };
}

const rows = (tables) => tables.reduce((total, table) => total + table.rows, 0);

function durable({ epoch, durable_epoch: committed }) {
  return committed !== null && committed >= epoch ? "all that was read" : "more with the next commit";
}

/** What takes it: posts, where the run counts them. */
function held({ state_sizes: state, memory }) {
  return state ? `${number(state.inds.records)} posts` : `${number(memory.symbols)} texts`;
}

function late(status) {
  const most = Math.max(...status.sources.map((source) => source.lag_ms ?? 0));
  return most > 0 ? `${rate(most / 1000)} s late` : "";
}

function share(part, whole) {
  if (part === 0 || whole === 0) return "";
  const percent = (part / whole) * 100;
  return percent < 0.01 ? "below 0.01 %" : `${percent.toFixed(percent < 1 ? 2 : 1)} % of what was read`;
}

/** One figure over the last minutes. */
function panel(title, of) {
  const body = h("div", { class: "tide-body" }, h("p", { class: "empty" }, "Waiting for the first figures…"));
  const element = h("figure", { class: `tide tide-${of}` }, h("figcaption", {}, title), body);
  let [width, points] = [0, []];
  const draw = () => {
    if (width === 0 || points.filter((point) => point[of] !== null).length < 2) return;
    body.replaceChildren(tide(points, of, { width: width / unit(), height: body.clientHeight / unit(), title }));
  };
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) < 1) return;
    width = contentRect.width;
    draw();
  }).observe(body);
  return {
    element,
    show(now) {
      points = now;
      draw();
    },
  };
}
