import assert from "node:assert/strict";
import test from "node:test";
import { gapsOf, withGaps } from "../src/charts/gaps.js";

const point = (seconds, value) => ({ at: seconds * 1000, value });

test("samples_a_second_apart_have_no_gap", () => {
  const points = [point(0, 5), point(1, 6), point(2.4, 7)];
  assert.deepEqual(withGaps(points), points);
  assert.deepEqual(gapsOf(points, 3_000), []);
});

test("a_pause_between_two_samples_becomes_a_point_without_a_value", () => {
  const shown = withGaps([point(0, 5), point(1, 6), point(31, 7), point(32, 8)]);
  assert.deepEqual(shown.map(({ value }) => value), [5, 6, null, 7, 8]);
  assert.deepEqual(gapsOf(shown, 32_000), [{ from: 1_000, to: 31_000 }]);
});

test("samples_without_a_value_are_a_gap_as_long_as_they_last", () => {
  const shown = withGaps([point(0, 5), point(1, null), point(2, null), point(3, null), point(4, null), point(5, 0)]);
  assert.deepEqual(gapsOf(shown, 5_000), [{ from: 0, to: 5_000 }]);
});

test("nothing_after_the_last_sample_is_a_gap_up_to_now", () => {
  assert.deepEqual(gapsOf(withGaps([point(0, 5), point(1, 6)]), 20_000), [{ from: 1_000, to: 20_000 }]);
});
