import assert from "node:assert/strict";
import test from "node:test";
import { ago, bytes, milliseconds, number, position, rate, span } from "../src/text/format.js";
import { memoryWords } from "../src/text/memory.js";
import { rowCount } from "../src/text/words.js";

test("figures_are_written_so_that_they_can_be_read", () => {
  assert.deepEqual([number(1234567), number(4000.5), number(0)], ["1,234,567", "4,000.5", "0"]);
  assert.deepEqual([rate(0), rate(3.24), rate(1234.5)], ["0", "3.2", "1,235"]);
  assert.deepEqual([bytes(0), bytes(999), bytes(57_300_000), bytes(1e12)], ["0 B", "999 B", "57.3 MB", "1 TB"]);
  assert.deepEqual([span(0.4), span(59), span(3_600), span(90_061)], ["0 s", "59 s", "1 h", "1 d 1 h"]);
  assert.deepEqual([milliseconds(0.42), milliseconds(12.3), milliseconds(1_230), milliseconds(90_000)], ["0.4 ms", "12 ms", "1.2 s", "1 min 30 s"]);
  assert.deepEqual([ago(200), ago(4_000), ago(61_000)], ["just now", "4 s ago", "1 min 1 s ago"]);
  // Sequence numbers of Kinesis stay as they are: nobody counts with them.
  assert.deepEqual([position("1001"), position("49590338271490256608559692538361571095921575989136588898")], ["1,001", "49590338271490256608559692538361571095921575989136588898"]);
});

test("a_list_that_is_cut_says_so", () => {
  const rows = (total, matching, shown, filtered = false) => rowCount({ total, matching, shown, filtered });
  assert.equal(rows(1, 1, 1), "1 row");
  assert.equal(rows(7, 7, 3), "3 of 7 rows shown");
  assert.equal(rows(44, 3, 3, true), "3 of 44 rows match");
  assert.equal(rows(1_044, 20, 10, true), "20 of 1,044 rows match, 10 shown");
  assert.equal(rows(7, 0, 0, true), "0 of 7 rows match");
});

test("memory_is_told_by_columns_groups_and_rows", () => {
  const state = [["groups", 96, 24], ["rows", 0, 40], ["partitions", 96, 0]].map(([holds, bytes_per_group, bytes_per_row]) => ({ holds, bytes_per_group, bytes_per_row }));
  const memory = { held_anyway: ["pin.ind"], held_for_it: [{ column: "pin.title", is_computed: false, bytes: 75 }], bytes_per_ind: 75, state };
  assert.deepEqual(memoryWords(memory), [
    "Columns: about 75 B more for each ind.",
    "Held for this question: pin.title (75 B).",
    "Held anyway: pin.ind.",
    "Groups: about 96 B for each group, and 24 B for each different row in it.",
    "Rows: about 40 B for each row.",
    "Partitions: about 96 B for each group.",
  ]);
  assert.deepEqual(memoryWords({ held_anyway: [], held_for_it: [], bytes_per_ind: 0, state: [] }), ["Columns: about 0 B more for each ind."]);
});
