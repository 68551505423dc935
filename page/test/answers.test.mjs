import assert from "node:assert/strict";
import test from "node:test";
import { Answers, compareValues, listRows } from "../src/state/answers.js";

const COLUMNS = [
  { name: "year", type: "long", group: true },
  { name: "category", type: "text", group: false },
  { name: "count", type: "long", group: false },
];

const by = (column, descending = false, nulls_first = false) => ({ column, descending, nulls_first });
const ORDER = [by("year"), by("count", true), by("category")];

const held = (columns, order, rows) => {
  const answers = new Answers();
  answers.take([{ kind: "snapshot", data: { answer: "a", epoch: 1, columns, order, rows } }], 0);
  return answers;
};

const row = (year, category, count) => ({ year, category, count });

test("changes make of a snapshot what the server has", () => {
  const answers = held(COLUMNS, ORDER, [row(2018, "art", 2), row(2019, "art", 1)]);
  const touched = answers.take([{ kind: "change", data: { answer: "a", epoch: 5, insert: [row(2018, "art", 3)], delete: [row(2018, "art", 2)] } }], 7);
  assert.deepEqual([...touched], ["a"]);
  assert.equal(answers.epoch, 5);
  assert.deepEqual(listRows(answers.held.get("a")), [row(2018, "art", 3), row(2019, "art", 1)]);
  assert.deepEqual([...answers.held.get("a").fresh.values()], [7]);
  // A change of an answer that was never shown has nothing to change.
  assert.deepEqual([...answers.take([{ kind: "change", data: { answer: "b", epoch: 6, insert: [], delete: [] } }], 8)], ["b"]);
});

test("removed answer is no longer held, and a snapshot replaces an answer", () => {
  const answers = held(COLUMNS, ORDER, [row(2018, "art", 2)]);
  const columns = [{ name: "n", type: "long", group: false }];
  answers.take([{ kind: "snapshot", data: { answer: "a", epoch: 4, columns, order: [], rows: [{ n: 1 }] } }], 9);
  assert.deepEqual([listRows(answers.held.get("a")), answers.held.get("a").snapshotEpoch], [[{ n: 1 }], 4]);
  assert.deepEqual([...answers.take([{ kind: "removed", data: { answer: "a", epoch: 5 } }], 10)], ["a"]);
  assert.deepEqual([answers.held.size, answers.epoch], [0, 5]);
});

test("rows are listed in the order of the answer", () => {
  const answers = held(COLUMNS, ORDER, [row(2019, "b", 1), row(2018, "z", 5), row(2018, "a", 5), row(2018, "m", 9)]);
  assert.deepEqual(
    listRows(answers.held.get("a")).map(({ category }) => category),
    ["m", "a", "z", "b"],
  );
  assert.equal(Math.sign(compareValues(null, 1)), 1);
});

test("nulls are listed where the order says", () => {
  const columns = [{ name: "year", type: "long", nullable: true, group: false }];
  const listed = (key) => listRows(held(columns, [key], [{ year: null }, { year: 1 }, { year: 2 }]).held.get("a")).map(({ year }) => year);
  assert.deepEqual(listed(by("year")), [1, 2, null]);
  assert.deepEqual(listed(by("year", true)), [2, 1, null]);
  assert.deepEqual(listed(by("year", false, true)), [null, 1, 2]);
  assert.deepEqual(listed(by("year", true, true)), [null, 2, 1]);
});

test("equal rows are listed as often as they are there", () => {
  const answers = held(COLUMNS, ORDER, [row(2018, "art", 2), row(2018, "art", 2)]);
  const change = (insert, gone) => answers.take([{ kind: "change", data: { answer: "a", epoch: 2, insert, delete: gone } }], 1);
  change([row(2018, "art", 2)], []);
  assert.equal(listRows(answers.held.get("a")).length, 3);
  change([], [row(2018, "art", 2), row(2018, "art", 2)]);
  assert.deepEqual(listRows(answers.held.get("a")), [row(2018, "art", 2)]);
  change([], [row(2018, "art", 2)]);
  assert.deepEqual([answers.held.get("a").rows.size, answers.held.get("a").fresh.size], [0, 0]);
});
