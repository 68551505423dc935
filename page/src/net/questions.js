import { fetchJson } from "./request.js";

/** A try reads whole tables. */
const TRY_TIMEOUT_MS = 120_000;

/** All questions, and whether they can be changed. */
export const fetchQuestions = () => fetchJson("/questions");

/**
 * Sends a question's SQL.
 *
 * @param {"check" | "try" | "add" | "replace"} what
 * @param {{name: string, sql: string, limit?: number}} question `name`: can be empty for a check and a try
 * @param {string} [token] instead of the stored one
 */
export function sendQuestion(what, { name, sql, limit }, token) {
  const flags = { check: { dry_run: "true" }, try: { try: "true", limit: String(limit) }, add: {}, replace: { replace: "true" } };
  const query = new URLSearchParams({ ...(name ? { name } : {}), ...flags[what] });
  const headers = { "content-type": "application/sql" };
  return fetchJson(`/questions?${query}`, { method: "POST", body: sql, headers, token, ...(what === "try" ? { timeout: TRY_TIMEOUT_MS } : {}) });
}

/**
 * Drops a question.
 *
 * @param {string} name
 * @param {string} [token] instead of the stored one
 */
export const dropQuestion = (name, token) => fetchJson(`/questions/${encodeURIComponent(name)}`, { method: "DELETE", token });
