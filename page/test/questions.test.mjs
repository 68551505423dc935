import assert from "node:assert/strict";
import test from "node:test";
import { Answers } from "../src/state/answers.js";
import { Questions, compareWithHeld } from "../src/state/questions.js";
import { countStates, stateReason, stateWords } from "../src/text/question_state.js";
import { problemRanges, problemWords } from "../src/text/problems.js";

const COLUMNS = [{ name: "n", type: "long" }];
const question = (name, more = {}) => ({ name, state: "live", progress: null, since_epoch: null, columns: COLUMNS, replaces: false, ...more });
const reported = (askedAt, ...all) => {
  const questions = new Questions();
  questions.take({ questions: all, editing: true, trying: false }, askedAt);
  return questions;
};
const held = (...snapshots) => {
  const answers = new Answers();
  for (const [answer, epoch, at] of snapshots) answers.take([{ kind: "snapshot", data: { answer, epoch, columns: COLUMNS, order: [], rows: [] } }], at);
  return answers;
};
const compared = (questions, answers) => {
  const { gone, missing } = compareWithHeld(questions, answers);
  return [gone, missing.map(({ name }) => name)];
};

test("replacement_belongs_to_the_question_that_it_replaces", () => {
  for (const order of [0, 1]) {
    const pair = [question("a"), question("a", { state: "filling", progress: 0.4, replaces: true })];
    const questions = reported(0, ...(order ? pair : pair.reverse()));
    const { question: now, replacement } = questions.entries.get("a");
    assert.deepEqual([now.state, stateWords(replacement), questions.isBusy(), questions.isLive("a")], ["live", "filling 40 %", true, true]);
  }
  assert.equal(reported(0, question("a"), question("b", { state: "stopped" })).isBusy(), false);
});

test("dropped_question_loses_its_answer_unless_the_report_is_older", () => {
  assert.deepEqual(compared(reported(5), held(["a", 1, 3])), [["a"], []]);
  assert.deepEqual(compared(reported(2), held(["a", 1, 3])), [[], []]);
  assert.deepEqual(compared(reported(5, question("a", { state: "stopped" })), held(["a", 1, 3])), [["a"], []]);
});

test("added_or_replaced_question_needs_a_snapshot_once_the_stream_has_come_to_it", () => {
  const answers = held(["a", 7, 0]);
  assert.deepEqual(compared(reported(5, question("a"), question("b", { since_epoch: 7 })), answers), [[], ["b"]]);
  assert.deepEqual(compared(reported(5, question("a"), question("b", { since_epoch: 8 })), answers), [[], []]);
  assert.deepEqual(compared(reported(5, question("a"), question("b", { state: "filling" })), answers), [[], []]);
  answers.epoch = 9;
  assert.deepEqual(compared(reported(5, question("a", { since_epoch: 9 })), answers), [[], ["a"]]);
  assert.deepEqual(compared(reported(5, question("a", { columns: [{ name: "m", type: "long" }] })), answers), [[], ["a"]]);
});

test("states_are_counted_unless_live", () => {
  assert.equal(countStates(["live", "filling", "stopped", "filling"]), "2 filling, 1 stopped");
  assert.equal(countStates(["live"]), "");
});

test("reason_of_one_line_is_a_sentence_and_a_report_keeps_its_lines", () => {
  assert.deepEqual(stateReason({ reason: "it holds 1849 groups" }), { words: "It holds 1,849 groups.", report: "" });
  assert.deepEqual(stateReason({ reason: "a: 1 problem\n  1:8" }), { words: "", report: "a: 1 problem\n  1:8" });
  assert.deepEqual(stateReason({ reason: null }), { words: "", report: "" });
});

test("problem_is_marked_by_characters_also_behind_wide_ones", () => {
  const text = "SELECT '😀', x\nFROM y";
  const at = (line, column, length) => problemRanges(text, [{ line, column, length, message: "" }])[0];
  const word = (range) => text.slice(range.start, range.end);
  assert.deepEqual([word(at(1, 13, 1)), word(at(2, 6, 1)), word(at(1, 8, 3))], ["x", "y", "'😀'"]);
  assert.deepEqual([at(9, 1, 1), at(null, null, null)], [null, null]);
  // Never beyond its line.
  assert.equal(word(at(2, 6, 99)), "y");
  assert.equal(problemWords({ line: 2, column: 8, length: 1, message: "no" }), "Line 2, column 8: no");
  assert.equal(problemWords({ line: null, column: null, length: null, message: "no" }), "The question: no");
});
