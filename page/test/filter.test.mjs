import assert from "node:assert/strict";
import test from "node:test";
import { rowFilter } from "../src/state/filter.js";

const ROW = { country: "Côte d'Ivoire", category: "Mens-Fashion", count: 120 };

test("every_word_must_be_in_some_cell", () => {
  for (const query of ["", "  ", "fashion", "FASHION ivoire", "12", "côte 120"]) assert.ok(rowFilter(query)(ROW), query);
  for (const query of ["art", "fashion chad", "13"]) assert.ok(!rowFilter(query)(ROW), query);
  assert.ok(!rowFilter("null")({ country: null }));
});
