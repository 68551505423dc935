import assert from "node:assert/strict";
import test from "node:test";
import { unreadableFields } from "../src/text/unreadable.js";

const NONE = { field_faults: [], unknown_fields: 0, times_ahead: 0 };

test("nothing_is_listed_if_everything_could_be_read", () => {
  assert.deepEqual(unreadableFields(NONE), []);
});

test("columns_come_first_then_unknown_fields_and_times_ahead", () => {
  const run = { field_faults: [{ table: "pin", column: "follower_count", count: 2 }], unknown_fields: 3, times_ahead: 4 };
  assert.deepEqual(unreadableFields(run), [
    { label: "pin.follower_count", count: 2 },
    { label: "fields that no stream has", count: 3 },
    { label: "times more than an hour ahead, counted as unknown", count: 4 },
  ]);
  assert.deepEqual(unreadableFields({ ...NONE, times_ahead: 1 }), [{ label: "times more than an hour ahead, counted as unknown", count: 1 }]);
});
