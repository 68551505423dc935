import assert from "node:assert/strict";
import test from "node:test";
import { cardOf, chartOf, orderAnswers } from "../src/charts/catalogue.js";

const column = (name) => ({ name, type: "long", group: false });
const USERS = ["post_year", "number_users_joined"].map(column);
const chart = (name, columns) => chartOf({ name, columns, order: [] }, [])?.kind;

test("built_in_answer_has_the_chart_of_the_catalogue", () => {
  assert.equal(chart("users_joined_by_year", USERS), "known");
  assert.equal(cardOf("users_joined_by_year").note, "Every user row counts");
});

test("answer_with_other_columns_has_a_chart_by_its_columns", () => {
  assert.equal(chart("users_joined_by_year", [...USERS, column("more")]), "line");
  assert.equal(chart("a_new_question", USERS), "line");
  assert.equal(chart("toString", USERS), "line");
  assert.deepEqual([cardOf("toString").title, cardOf("toString").span], ["ToString", "third"]);
});

test("new_answers_stand_behind_the_built_in_ones", () => {
  assert.deepEqual(orderAnswers(["zebra", "users_joined_by_year", "ant", "popular_category_by_year"]), ["popular_category_by_year", "users_joined_by_year", "zebra", "ant"]);
});
