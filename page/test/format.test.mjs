import assert from "node:assert/strict";
import test from "node:test";
import { bytes, number, position, rate, span } from "../src/text/format.js";
import { since } from "../src/state/history.js";

test("figures are written so that they can be read", () => {
  assert.deepEqual([number(1234567), number(4000.5), number(0)], ["1,234,567", "4,000.5", "0"]);
  assert.deepEqual([rate(0), rate(3.24), rate(1234.5)], ["0", "3.2", "1,235"]);
  assert.deepEqual([bytes(0), bytes(999), bytes(57_300_000), bytes(1e12)], ["0 B", "999 B", "57.3 MB", "1 TB"]);
  assert.deepEqual([span(0.4), span(59), span(3_600), span(90_061)], ["0 s", "59 s", "1 h", "1 d 1 h"]);
  // Sequence numbers of Kinesis stay as they are: nobody counts with them.
  assert.deepEqual([position("1001"), position("49590338271490256608559692538361571095921575989136588898")], ["1,001", "49590338271490256608559692538361571095921575989136588898"]);
});

test("a rate is known only where two looks are of one run, and near each other", () => {
  const at = (seconds, read) => ({ at: seconds * 1000, read });
  assert.equal(since(at(0, 100), at(2, 300)), 100);
  assert.equal(since(undefined, at(2, 300)), null);
  assert.equal(since(at(0, 100), at(2, 50)), null);
  assert.equal(since(at(0, 100), at(60, 300)), null);
});
