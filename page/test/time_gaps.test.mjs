import assert from "node:assert/strict";
import test from "node:test";
import { timeGaps, timeStep, withTimeGaps } from "../src/charts/time_gaps.js";

const month = (...months) => months.map((one) => Date.UTC(2020, one, 1));
const gaps = (places, isMoment) => timeGaps(places.map((x) => ({ x })), timeStep(places, isMoment)).map(({ from, to }) => [from, to]);

test("missing_year_is_a_gap_even_between_two_rows", () => {
  assert.deepEqual(gaps([2015, 2016, 2018], false), [[2016, 2018]]);
  assert.deepEqual(gaps([2015, 2018], false), [[2015, 2018]]);
});

test("missing_month_is_a_gap_although_months_differ_in_length", () => {
  assert.deepEqual(gaps(month(0, 1, 2, 3, 4, 5), true), []);
  assert.deepEqual(gaps(month(0, 1, 2, 4, 5), true), [month(2, 4)]);
});

test("moments_without_a_usual_distance_have_no_gaps", () => {
  assert.deepEqual(gaps([0, 7, 9, 100, 1_000], true), []);
  assert.deepEqual(gaps([0, 50], true), []);
});

test("gap_interrupts_the_line", () => {
  const points = [2015, 2018].map((x) => ({ x, value: 1 }));
  assert.deepEqual(withTimeGaps(points, timeGaps(points, 1)).map(({ x, value }) => [x, value]), [[2015, 1], [2016.5, null], [2018, 1]]);
});
