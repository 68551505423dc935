import { byId, h, write } from "../dom.js";
import { Refused, askJson } from "../net/ask.js";
import { bytes, clock, number, position } from "../text/format.js";

const ASKED = 40;

/** The last messages that could not become rows. They are asked for only when their number has changed. */
export function rejected() {
  const body = byId("rejected-body");
  let [known, closed] = [-1, false];
  return async (status) => {
    const count = status.sources.reduce((total, source) => total + source.rejected, 0);
    if (count === known || closed) return;
    try {
      show(body, await askJson(`/rejected?limit=${ASKED}`), count);
      known = count;
    } catch (error) {
      // Anything else is told by the connection itself; the next look tries again.
      if (!(error instanceof Refused) || error.status !== 403) return;
      closed = true;
      body.replaceChildren(h("p", { class: "empty" }, "This token shows answers, not messages. An admin token shows both."));
    }
  };
}

function show(body, rows, count) {
  write(byId("rejected-note"), rows.length === 0 ? "" : `The last ${number(rows.length)} of ${number(count)}, newest first`);
  if (rows.length === 0) {
    const words = count === 0 ? "None. Everything that was read became a row." : "None since this run began.";
    body.replaceChildren(h("p", { class: "empty" }, words));
    return;
  }
  const open = new Set([...body.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  body.replaceChildren(h("ul", { class: "rejections" }, ...rows.map((row) => entry(row, open))));
}

function entry(row, open) {
  const key = `${row._source} ${row._position} ${row._sub}`;
  const place = `${row._source} @ ${position(row._position)}${row._sub > 0 ? `.${row._sub}` : ""}`;
  const binary = row.payload === null && row.payload_base64 !== null;
  const shown = (binary ? row.payload_base64 : row.payload) ?? "";
  const head = new TextEncoder().encode(row.payload ?? "").length;
  const size = [bytes(row.payload_bytes), binary ? "not text, so in base64" : "", !binary && head < row.payload_bytes ? "its beginning" : ""];
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
