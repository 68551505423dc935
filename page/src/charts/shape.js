import { barList } from "./bar_list.js";
import { bigFigures } from "./figures.js";
import { lineChart } from "./lines.js";
import { panels } from "./panels.js";

/** Most columns of one row that is shown as large figures. */
const FIGURES_MAX = 8;
/** Most values of a grouping column of which each gets a panel of its own. */
const PANELS_MAX = 8;
/** Most rows of a line or of panels: they are drawn again several times a second. */
const POINTS_MAX = 3_000;
/** Whole numbers that count time: their order is that of time, and a missing one is a gap. */
const COUNTS_TIME = /(^|_)(year|quarter|month|week|weekday|day|hour|minute)$/;
/** Whole numbers that name something. They are labels, not amounts. */
const NAMES_SOMETHING = /(^|_)(ind|id)$/;

/**
 * What each column of an answer is for: `times` order the rows in time, `groups` name them, `numbers` are amounts.
 *
 * @typedef {import("../state/answers.js").Column} Column
 * @param {Column[]} columns
 * @returns {{times: Column[], groups: Column[], numbers: Column[]}}
 */
export function columnRoles(columns) {
  const roles = { times: [], groups: [], numbers: [] };
  for (const column of columns) roles[roleOf(column)].push(column);
  return roles;
}

function roleOf({ name, type }) {
  if (type === "timestamp" || isCountedTime({ name, type })) return "times";
  if (type === "double" || (type === "long" && !NAMES_SOMETHING.test(name))) return "numbers";
  return "groups";
}

/** Whether a column counts years, months or the like in whole numbers. */
export const isCountedTime = ({ name, type }) => type === "long" && COUNTS_TIME.test(name);

/**
 * The chart that fits the columns and rows of an answer. Null if only a table does.
 *
 * @typedef {{kind: string, words: string, draw: (rows: object[], columns: Column[], width: number, isFresh: (row: object) => boolean) => {element: Node, shown: number}}} Chart
 * @param {Pick<import("../state/answers.js").Answer, "columns" | "order">} answer
 * @param {object[]} rows all rows of the answer
 * @returns {Chart | null}
 */
export function chooseChart({ columns, order }, rows) {
  const { times, groups, numbers } = columnRoles(columns);
  if (numbers.length === 0) return null;
  if (rows.length === 1 && columns.length <= FIGURES_MAX) return bigFigures();
  const value = mainNumber(numbers, order);
  const [time, ...moreTimes] = times;
  if (times.length === 1 && groups.length === 0) return canBeLine(rows, [time]) ? lineChart(time, numbers) : null;
  if (times.length === 2 && groups.length === 0) return overTime(rows, time, moreTimes[0], value);
  if (times.length === 1 && groups.length === 1) return overTime(rows, groups[0], time, value);
  if (times.length === 0 && (groups.length === 1 || groups.length === 2)) return barList(groups, value);
  return null;
}

/** A panel for each value of a grouping column. If they are too many or too short, bars by time. */
function overTime(rows, group, time, value) {
  const series = new Set(rows.slice(0, POINTS_MAX).map((row) => row[group.name])).size;
  const fits = series <= PANELS_MAX && rows.length >= 2 * series;
  return fits && canBeLine(rows, [group, time]) ? panels(group, time, value) : barList([time, group], value);
}

/** The number by which the answer is ordered, otherwise its first one. */
function mainNumber(numbers, order) {
  const ordered = order.map(({ column }) => numbers.find(({ name }) => name === column));
  return ordered.find(Boolean) ?? numbers[0];
}

/** Whether there are not too many rows, and no two with the same values in these columns. */
function canBeLine(rows, keys) {
  return rows.length <= POINTS_MAX && new Set(rows.map((row) => JSON.stringify(keys.map(({ name }) => row[name])))).size === rows.length;
}
