import { byId, h, setText } from "../dom.js";
import { RequestError, fetchJson } from "../net/request.js";
import { storedToken } from "../net/token.js";
import { bytes, clock, number, position } from "../text/format.js";
import { unreadableFields } from "../text/unreadable.js";
import { withCount } from "../text/words.js";
import { breakdown } from "./breakdown.js";

/** Rows that are requested. The server keeps a few more, the table `rejected` all. */
const ASKED_MAX = 50;
/** Rows listed at first. */
const LISTED = 10;

/**
 * Rejected records: reasons, what could not be read, and the latest records with their payload. Payloads are
 * requested only when a count changed, or another run serves.
 */
export function rejected() {
  const reasons = breakdown("Rejected by reason", "No record was rejected in this run.");
  const faults = breakdown("Unreadable fields by column", "Every field of the accepted records could be read.");
  byId("rejected-counts").replaceChildren(reasons.element, faults.element);
  const last = lastRejections(byId("rejected-body"));
  return async (status) => {
    const { this_run: run, all_time: all } = status;
    const rows = Object.entries(run.rejections).map(([reason, count]) => ({ label: reason.replaceAll("_", " "), count }));
    reasons.update(rows);
    faults.update(unreadableFields(run));
    const before = all.rejected - run.rejected;
    setText(byId("rejected-note"), `${number(run.rejected)} in this run${before > 0 ? `, ${number(all.rejected)} in all runs` : ""}`);
    await last(status.started_at, run.rejected, before);
  };
}

function lastRejections(body) {
  const list = h("ul", { class: "rejections" });
  const cut = h("span", {});
  const more = h("button", { type: "button", class: "quiet more", onclick: showAll }, "Show all of them");
  const note = h("p", { class: "cut-note" }, cut, " ", more);
  const state = { known: null, closedFor: null, rows: [], listed: LISTED, total: 0 };

  function showAll() {
    state.listed = ASKED_MAX;
    fill();
  }

  function fill() {
    const open = new Set([...list.querySelectorAll("details[open]")].map((details) => details.dataset.key));
    const listed = state.rows.slice(0, state.listed);
    list.replaceChildren(...listed.map((row) => entry(row, open)));
    setText(cut, `The newest ${number(listed.length)} of ${number(state.total)}${state.rows.length < state.total ? "; the table rejected has all" : ""}.`);
    more.hidden = state.rows.length <= listed.length;
    setText(more, `Show the newest ${number(state.rows.length)}`);
    note.hidden = listed.length >= state.total;
  }

  return async (run, count, before) => {
    // The count of earlier runs is 0 until their tables are read.
    const current = `${run} ${count} ${before}`;
    if (current === state.known || state.closedFor === storedToken()) return;
    try {
      state.rows = await fetchJson(`/rejected?limit=${ASKED_MAX}`);
      state.known = current;
      state.total = count;
      body.replaceChildren(...(state.rows.length === 0 ? [none(count, before)] : [list, note]));
      fill();
    } catch (error) {
      // Other errors are reported by the change stream. The next poll retries.
      if (!(error instanceof RequestError) || error.status !== 403) return;
      state.closedFor = storedToken();
      body.replaceChildren(h("p", { class: "empty" }, "This token shows answers, not payloads. An admin token shows both."));
    }
  };
}

function none(count, before) {
  if (before === 0 && count === 0) return h("p", { class: "empty" }, "No rejections. Every record that was read became a row.");
  const earlier = `${withCount(before, "record", number(before))} of earlier runs ${before === 1 ? "is" : "are"} in the table rejected, with payload and reason.`;
  return h("p", { class: "empty" }, count === 0 ? `No rejections in this run. ${earlier}` : "The rejections of this run are in the table rejected.");
}

function entry(row, open) {
  const key = `${row._source} ${row._position} ${row._sub}`;
  const place = `${row._source} @ ${position(row._position)}${row._sub > 0 ? `.${row._sub}` : ""}`;
  const binary = row.payload === null && row.payload_base64 !== null;
  const shown = (binary ? row.payload_base64 : row.payload) ?? "";
  const head = new TextEncoder().encode(row.payload ?? "").length;
  const size = [bytes(row.payload_bytes), binary ? "not text, shown as base64" : "", !binary && head < row.payload_bytes ? "only its beginning" : ""];
  return h(
    "li",
    {},
    h(
      "details",
      { "data-key": key, open: open.has(key) },
      h(
        "summary",
        {},
        h("span", { class: "reason" }, row.reason.replaceAll("_", " ")),
        h("span", { class: "detail" }, row.detail),
        h("span", { class: "place" }, place),
        h("time", { datetime: row.rejected_at }, clock(row.rejected_at)),
      ),
      h("p", { class: "payload-note" }, `${row.stream ?? "unknown stream"}, ${size.filter(Boolean).join(", ")}`),
      h("pre", { class: "payload", tabindex: "0", "aria-label": "Payload" }, shown),
    ),
  );
}
