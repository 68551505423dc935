/**
 * Server-Sent Events from a stream of bytes. `EventSource` cannot send a token; this reads what `fetch` gives.
 *
 * Follows the WHATWG definition for what pinflow sends: `id`, `event`, `data`, comments, `\n` ends a line.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @param {() => void} alive called for everything that comes, comments too
 */
export async function* events(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const blocks = (rest + value).split("\n\n");
      // Without the blank line it is not all there.
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** One event; null if it is only a sign of life. */
export function parse(block) {
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
