import assert from "node:assert/strict";
import test from "node:test";
import { chartFor, orderAnswers } from "../src/charts/catalogue.js";

const column = (name) => ({ name, type: "long", group: false });
const USERS = ["post_year", "number_users_joined"].map(column);

test("an answer that nobody has heard of is a table", () => {
  assert.equal(chartFor("a_new_question", USERS).draw, undefined);
  assert.equal(chartFor("toString", USERS).draw, undefined);
});

test("a known answer is drawn, unless its columns are others than the drawing is made for", () => {
  assert.equal(typeof chartFor("users_joined_by_year", USERS).draw, "function");
  assert.equal(chartFor("users_joined_by_year", [...USERS, column("more")]).draw, undefined);
  assert.equal(chartFor("users_joined_by_year", [...USERS].reverse()).draw, undefined);
});

test("what is new stands behind what is known", () => {
  assert.deepEqual(orderAnswers(["zebra", "users_joined_by_year", "ant", "popular_category_by_year"]), ["popular_category_by_year", "users_joined_by_year", "zebra", "ant"]);
});
