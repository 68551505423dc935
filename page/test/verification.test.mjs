import assert from "node:assert/strict";
import test from "node:test";
import { verificationWords } from "../src/text/verification.js";

const AT = "2026-01-02T03:04:05.000Z";
const now = Date.parse(AT) + 90_000;
const found = (more) => ({ verified_at: AT, epoch: 1812, equal: 11, different: 0, skipped: 0, different_answers: [], ...more });

test("verification_says_when_it_was_and_which_answers_differ", () => {
  assert.equal(verificationWords(null, now), null);
  assert.deepEqual(verificationWords(found(), now), { words: "Verified, 1 min 30 s ago, as of epoch 1,812: 11 answers equal the tables.", isWrong: false });
  assert.equal(verificationWords(found({ equal: 1, skipped: 2 }), now).words, "Verified, 1 min 30 s ago, as of epoch 1,812: 1 answer equals the tables. 2 answers skipped.");
  const wrong = verificationWords(found({ equal: 10, different: 1, different_answers: ["every_pin"] }), now);
  assert.deepEqual(wrong, { words: "Verified, 1 min 30 s ago, as of epoch 1,812: 1 answer differs from the tables: every_pin. 10 equal.", isWrong: true });
  // Clocks are read to the millisecond, so a result can seem to be from the future.
  assert.match(verificationWords(found(), Date.parse(AT) - 5).words, /just now/);
});
