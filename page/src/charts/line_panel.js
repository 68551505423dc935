import * as Plot from "@observablehq/plot";
import { cellText } from "../text/cells.js";
import { short } from "../text/format.js";
import { accessiblePlot, describeRows } from "./plot.js";
import { timeGaps, timeStep, withTimeGaps } from "./time_gaps.js";

const MARGIN = { marginTop: 12, marginLeft: 48, marginRight: 16 };
/** Room for the ticks of whole numbers, and for those of moments, which have two lines. */
const [ONE_LINE, TWO_LINES] = [24, 38];
/** Most missing values that are marked on the axis. The words count all of them. */
const MARKED_MAX = 24;

/**
 * @typedef {{x: number, value: number | null, fresh: boolean, row: object}} TimePoint `x`: milliseconds, or the number that counts time
 * @typedef {import("../state/answers.js").Column} Column
 */

/**
 * The rows as points in the order of time.
 *
 * @returns {TimePoint[]}
 */
export function timePoints(rows, time, value, isFresh) {
  const place = time.type === "timestamp" ? Date.parse : Number;
  const points = rows.map((row) => ({ x: place(row[time.name]), value: row[value.name] ?? null, fresh: isFresh(row), row }));
  return points.sort((one, other) => one.x - other.x);
}

/**
 * One line over time.
 *
 * @param {TimePoint[]} points at least one
 * @param {{time: Column, value: Column, width: number, height: number, title: string, xDomain?: number[], yDomain?: number[]}} options
 */
export function linePanel(points, { time, value, width, height, title, xDomain, yDomain }) {
  const isMoment = time.type === "timestamp";
  const step = timeStep(points.map(({ x }) => x), isMoment);
  const gaps = timeGaps(points, step);
  const [known, absent] = [points.filter((point) => point.value !== null), points.filter((point) => point.value === null)];
  const at = { x: isMoment ? (point) => new Date(point.x) : "x" };
  const dots = points.length <= width / 8 ? known : known.filter(({ fresh }) => fresh);
  const fill = ({ fresh }) => (fresh ? "var(--fresh)" : "var(--flow)");
  return accessiblePlot(panelWords(title, points, gaps, { time, value }), {
    width,
    height,
    margin: 0,
    ...MARGIN,
    marginBottom: isMoment ? TWO_LINES : ONE_LINE,
    x: timeAxis(xDomain ?? extent(points.map(({ x }) => x)), { isMoment, width }),
    y: { domain: yDomain ?? valueDomain(known.map((point) => point.value)), nice: true, ticks: height > 140 ? 4 : 2, tickSize: 0, tickFormat: short, label: null },
    marks: [
      Plot.gridY({ stroke: "var(--rule)", strokeOpacity: 1, ticks: height > 140 ? 4 : 2 }),
      Plot.ruleY([0], { stroke: "var(--rule-2)", strokeOpacity: 0.5 }),
      Plot.lineY(withTimeGaps(points, gaps), { ...at, y: "value", stroke: "var(--flow)", strokeWidth: 2 }),
      Plot.dot(dots, { ...at, y: "value", r: 3, fill }),
      Plot.text(absent.slice(0, MARKED_MAX), { ...at, text: () => "null", frameAnchor: "bottom", dy: -6, fontStyle: "italic", fill: "var(--ink-2)" }),
      Plot.text(gaps.slice(0, MARKED_MAX), { x: ({ from, to }) => (isMoment ? new Date((from + to) / 2) : (from + to) / 2), text: () => "–", frameAnchor: "bottom", dy: -6, fill: "var(--ink-2)" }),
    ],
  });
}

function timeAxis([first, last], { isMoment, width }) {
  const common = { tickSize: 0, label: null };
  const ticks = Math.max(2, Math.round(width / 110));
  if (isMoment) return { ...common, type: "utc", domain: [new Date(first), new Date(last)], ticks };
  const domain = first === last ? [first - 1, last + 1] : [first, last];
  return { ...common, type: "linear", domain, ticks: wholeTicks(first, last, Math.max(2, Math.floor(width / 52))), tickFormat: String };
}

/** Whole numbers at equal distances, because there is nothing between two of them. */
function wholeTicks(first, last, most) {
  const step = Math.ceil((last - first + 1) / most);
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, at) => first + at * step);
}

const extent = (values) => [Math.min(...values), Math.max(...values)];

/** From zero, so that small changes do not look large. */
export function valueDomain(values) {
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  return low === high ? [0, 1] : [low, high];
}

function panelWords(title, points, gaps, { time, value }) {
  const rows = describeRows(points, ({ row }) => `${cellText(row[time.name], time)}: ${cellText(row[value.name], value)}`);
  const missing = gaps.slice(0, 4).map(({ after, before }) => ` No rows between ${cellText(after.row[time.name], time)} and ${cellText(before.row[time.name], time)}.`);
  return `${title} over time. ${rows}${missing.join("")}${gaps.length > 4 ? ` ${gaps.length - 4} more gaps.` : ""}`;
}
