import * as Plot from "@observablehq/plot";
import { bytes, clock, milliseconds, number, rate, short } from "../text/format.js";
import { accessiblePlot } from "./plot.js";
import { gapsOf, withGaps } from "./gaps.js";

/** Minimum span of the time axis, milliseconds, so that the first samples do not fill the width. */
const SPAN_MIN_MS = 60_000;
/** Gaps wider than this get a label, pixels. */
const LABELLED_GAP_PX = 64;

const whole = (value) => number(Math.round(value));

/**
 * The metrics that are drawn over time: title, formats, minimum top of the scale (so that noise near 0 is not magnified) and
 * colours.
 */
export const SERIES = {
  rate: { title: "Records per second", written: rate, tick: short, top: 10, line: "var(--flow)", fill: "var(--water-2)" },
  lag: { title: "Lag: records still to be read", written: whole, tick: short, top: 10, line: "var(--buff-line)", fill: "var(--buff)" },
  latency: { title: "Latency of epochs, 99th percentile", written: milliseconds, tick: milliseconds, top: 10, line: "var(--flow)", fill: "var(--water-2)" },
  memory: { title: "Memory", written: bytes, tick: bytes, top: 1_000_000, line: "var(--buff-line)", fill: "var(--buff)" },
};

/**
 * An area chart of one metric. Times without samples are left empty.
 *
 * @param {import("../state/history.js").Point[]} points
 * @param {keyof typeof SERIES} of
 * @param {{width: number, height: number, now: number}} size `now`: end of the time axis, milliseconds
 */
export function throughput(points, of, { width, height, now }) {
  const { title, written, tick, top, line, fill } = SERIES[of];
  const shown = withGaps(points.map(({ at, [of]: value }) => ({ at, value: value ?? null })));
  const known = shown.filter(({ value }) => value !== null);
  const [first, last] = [shown[0].at, Math.max(now, shown.at(-1).at)];
  const begin = Math.min(first, last - SPAN_MIN_MS);
  const [marginLeft, marginRight] = [52, 30];
  const perMs = (width - marginLeft - marginRight) / (last - begin);
  const gaps = gapsOf(shown, last);
  const ticks = height > 110 ? 4 : 2;
  const at = { x: (point) => new Date(point.at) };
  return accessiblePlot(words(title, written, known, gaps, first, last), {
    width,
    height,
    margin: 0,
    marginTop: 8,
    marginBottom: 24,
    marginLeft,
    marginRight,
    x: { type: "time", domain: [new Date(begin), new Date(last)], ticks: Math.min(5, Math.max(2, Math.round(width / 150))), tickSize: 0, tickFormat: clock, label: null },
    y: { domain: [0, Math.max(top, ...known.map(({ value }) => value))], nice: true, ticks, tickSize: 0, tickFormat: tick, label: null },
    marks: [
      Plot.gridY({ stroke: "var(--rule)", strokeOpacity: 1, ticks }),
      // Give both edges: Plot stacks an area with one edge, and stacking treats null as 0.
      Plot.areaY(shown, { ...at, y1: 0, y2: "value", fill, curve: "monotone-x" }),
      Plot.lineY(shown, { ...at, y: "value", stroke: line, strokeWidth: 1.75, curve: "monotone-x" }),
      // A sample between two gaps has no line, so draw a dot.
      Plot.dot(shown.filter((point, index) => isAlone(shown, index)), { ...at, y: "value", r: 1.5, fill: line }),
      Plot.dot(known.slice(-1), { ...at, y: "value", r: 3.5, fill: line }),
      Plot.text(gaps.filter(({ from, to }) => (to - from) * perMs > LABELLED_GAP_PX), {
        x: ({ from, to }) => new Date((from + to) / 2),
        text: () => "no data",
        frameAnchor: "bottom",
        dy: -8,
        fill: "var(--ink-2)",
      }),
    ],
  });
}

const isAlone = (shown, index) => shown[index].value !== null && (shown[index - 1]?.value ?? null) === null && (shown[index + 1]?.value ?? null) === null;

function words(title, written, known, gaps, first, last) {
  if (known.length === 0) return `${title}: no data from ${clock(first)} to ${clock(last)}.`;
  const most = Math.max(...known.map(({ value }) => value));
  const missing = gaps.map(({ from, to }) => ` No data from ${clock(from)} to ${clock(to)}.`).join("");
  return `${title} from ${clock(first)} to ${clock(last)}: last ${written(known.at(-1).value)}, at most ${written(most)}.${missing}`;
}
