import assert from "node:assert/strict";
import test from "node:test";
import { barScale } from "../src/charts/bar_list.js";
import { chooseChart, columnRoles } from "../src/charts/shape.js";

const TYPES = { t: "timestamp", year: "long", join_year: "long", name: "text", country: "text", ok: "boolean", n: "long", mean: "double", ind: "long" };
const columns = (...names) => names.map((name) => ({ name, type: TYPES[name], nullable: true, group: false }));
const choose = (names, rows, order = []) => chooseChart({ columns: columns(...names), order: order.map((column) => ({ column })) }, rows);
const rowsOf = (names, ...values) => values.map((cells) => Object.fromEntries(names.map((name, at) => [name, cells[at]])));
/** Two rows with different values in all columns. */
const kind = (...names) => choose(names, [1, 2].map((at) => Object.fromEntries(names.map((name) => [name, `${at}`]))))?.kind ?? null;

test("columns_have_roles_by_type_and_name", () => {
  const names = (role) => role.map(({ name }) => name).join();
  const { times, groups, numbers } = columnRoles(columns("t", "year", "join_year", "name", "ok", "ind", "n", "mean"));
  assert.deepEqual([names(times), names(groups), names(numbers)], ["t,year,join_year", "name,ok,ind", "n,mean"]);
});

test("chart_is_chosen_by_the_shape_of_the_columns", () => {
  assert.deepEqual([kind("t", "n"), kind("mean", "year"), kind("year", "n", "mean")], ["line", "line", "line"]);
  assert.deepEqual([kind("name", "n"), kind("n", "mean", "ok"), kind("ind", "n")], ["bars", "bars", "bars"]);
  assert.deepEqual([kind("name", "country", "n"), kind("name", "ok", "mean", "n")], ["grouped bars", "grouped bars"]);
  assert.deepEqual([kind("n", "mean"), kind("name"), kind("t", "name"), kind("name", "country", "ok", "n"), kind("t", "year", "name", "n")], [null, null, null, null, null]);
});

test("one_row_is_shown_as_figures", () => {
  for (const names of [["n"], ["n", "mean"], ["name", "n"], ["year", "n"]]) assert.equal(choose(names, rowsOf(names, [1, 2]))?.kind, "figures");
  assert.equal(choose(["n"], [])?.kind, undefined);
});

test("series_over_time_have_panels_if_they_are_few_and_long_enough", () => {
  const names = ["name", "year", "n"];
  const series = (count, years) => Array.from({ length: count * years }, (_, at) => [`s${at % count}`, 2000 + Math.floor(at / count), at]);
  assert.equal(choose(names, rowsOf(names, ...series(3, 4))).kind, "panels");
  assert.equal(choose(names, rowsOf(names, ...series(9, 4))).kind, "grouped bars");
  assert.equal(choose(names, rowsOf(names, ...series(3, 1))).kind, "grouped bars");
  assert.equal(choose(["join_year", "year", "n"], rowsOf(["join_year", "year", "n"], [1, 1, 1], [1, 2, 1], [2, 1, 1], [2, 2, 1])).kind, "panels");
});

test("times_that_occur_twice_have_no_line", () => {
  assert.equal(choose(["year", "n"], rowsOf(["year", "n"], [2018, 1], [2018, 2]))?.kind, undefined);
});

test("bars_show_the_number_by_which_the_answer_is_ordered", () => {
  const rows = rowsOf(["name", "n", "mean"], ["a", 1, 2], ["b", 1, 1]);
  assert.equal(choose(["name", "n", "mean"], rows).words, "N, by name");
  assert.equal(choose(["name", "n", "mean"], rows, ["name", "mean"]).words, "Mean, by name");
});

test("bars_start_at_zero_and_missing_values_have_none", () => {
  const scale = barScale([4, -1, null]);
  assert.deepEqual(scale(4), { from: 0.2, share: 0.8, negative: false });
  assert.deepEqual(scale(-1), { from: 0, share: 0.2, negative: true });
  assert.equal(scale(null), null);
  assert.deepEqual(barScale([0, null])(0), { from: 0, share: 0, negative: false });
});
