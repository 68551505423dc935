/**
 * Parses Server-Sent Events from the body of a `fetch`, because `EventSource` cannot send a token.
 *
 * Implements the part of the WHATWG specification that pinflow uses: `id`, `event`, `data`, comments, lines that end with `\n`.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @param {() => void} alive called for each chunk, including comments
 */
export async function* readEvents(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const blocks = (rest + value).split("\n\n");
      // An event is complete only with its blank line.
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Parses one event. Null for a keep-alive comment. */
export function parseEvent(block) {
  const event = { id: null, kind: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (name === "id") event.id = value;
    else if (name === "event") event.kind = value;
    else if (name === "data") event.data += (event.data && "\n") + value;
  }
  return event.data ? event : null;
}
