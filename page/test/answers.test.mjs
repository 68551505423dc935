import assert from "node:assert/strict";
import test from "node:test";
import { Answers, compareValues, sortRows } from "../src/state/answers.js";

const COLUMNS = [
  { name: "year", type: "long", group: true },
  { name: "category", type: "text", group: false },
  { name: "count", type: "long", group: false },
];

const row = (year, category, count) => ({ year, category, count });

test("changes make of a snapshot what the server has", () => {
  const answers = new Answers();
  answers.take([{ kind: "snapshot", data: { answer: "a", epoch: 3, as_of: "t", columns: COLUMNS, rows: [row(2018, "art", 2), row(2019, "art", 1)] } }], 0);
  const touched = answers.take([{ kind: "change", data: { answer: "a", epoch: 5, insert: [row(2018, "art", 3)], delete: [row(2018, "art", 2)] } }], 7);
  assert.deepEqual([...touched], ["a"]);
  assert.equal(answers.epoch, 5);
  assert.deepEqual(sortRows(answers.held.get("a").rows.values(), COLUMNS), [row(2018, "art", 3), row(2019, "art", 1)]);
  assert.deepEqual([...answers.held.get("a").fresh.values()], [7]);
  // A change of an answer that was never shown has nothing to change.
  assert.deepEqual([...answers.take([{ kind: "change", data: { answer: "b", epoch: 6, insert: [], delete: [] } }], 8)], ["b"]);
});

test("rows stand by group, then by figure, then by name", () => {
  const rows = [row(2019, "b", 1), row(2018, "z", 5), row(2018, "a", 5), row(2018, "m", 9)];
  assert.deepEqual(
    sortRows(rows, COLUMNS).map(({ category }) => category),
    ["m", "a", "z", "b"],
  );
  assert.equal(Math.sign(compareValues(null, 1)), 1);
});
