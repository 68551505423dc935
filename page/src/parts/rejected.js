import { byId, h, write } from "../dom.js";
import { Refused, askJson } from "../net/ask.js";
import { bytes, clock, number, position } from "../text/format.js";

const ASKED = 50;
/** As many as are listed before somebody asks for more. */
const LISTED = 10;

/** The last messages that could not become rows. They are asked for only when their number has changed. */
export function rejected() {
  const body = byId("rejected-body");
  const list = h("ul", { class: "rejections" });
  const more = h("button", { type: "button", class: "quiet more", onclick: all });
  let [known, closed, rows, listed] = [-1, false, [], LISTED];
  function all() {
    listed = ASKED;
    fill();
  }
  function fill() {
    const open = new Set([...list.querySelectorAll("details[open]")].map((details) => details.dataset.key));
    list.replaceChildren(...rows.slice(0, listed).map((row) => entry(row, open)));
    more.hidden = rows.length <= listed;
    write(more, `${number(rows.length - listed)} more`);
  }
  return async (status) => {
    const count = status.sources.reduce((total, source) => total + source.rejected, 0);
    if (count === known || closed) return;
    try {
      rows = await askJson(`/rejected?limit=${ASKED}`);
      known = count;
      write(byId("rejected-note"), rows.length === 0 ? "" : `The last ${number(rows.length)} of ${number(count)}, newest first`);
      body.replaceChildren(...(rows.length === 0 ? [none(count)] : [list, more]));
      fill();
    } catch (error) {
      // Anything else is told by the connection itself; the next look tries again.
      if (!(error instanceof Refused) || error.status !== 403) return;
      closed = true;
      body.replaceChildren(h("p", { class: "empty" }, "This token shows answers, not messages. An admin token shows both."));
    }
  };
}

function none(count) {
  const words = count === 0 ? "None. Everything that was read became a row." : "None since this run began.";
  return h("p", { class: "empty" }, words);
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
