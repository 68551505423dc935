import assert from "node:assert/strict";
import test from "node:test";
import { catalogue, placed } from "../src/charts/catalogue.js";

const column = (name) => ({ name, type: "long", group: false });
const USERS = ["post_year", "number_users_joined"].map(column);

test("an answer that nobody has heard of is a table", () => {
  assert.equal(catalogue("a_new_question", USERS).draw, undefined);
  assert.equal(catalogue("toString", USERS).draw, undefined);
});

test("a known answer is drawn, unless its columns are others than the drawing is made for", () => {
  assert.equal(typeof catalogue("users_joined_by_year", USERS).draw, "function");
  assert.equal(catalogue("users_joined_by_year", [...USERS, column("more")]).draw, undefined);
  assert.equal(catalogue("users_joined_by_year", [...USERS].reverse()).draw, undefined);
});

test("what is new stands behind what is known", () => {
  assert.deepEqual(placed(["zebra", "users_joined_by_year", "ant", "popular_category_by_year"]), ["popular_category_by_year", "users_joined_by_year", "zebra", "ant"]);
});
