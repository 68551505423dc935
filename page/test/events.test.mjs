import assert from "node:assert/strict";
import test from "node:test";
import { readEvents, parseEvent } from "../src/net/events.js";

async function read(chunks) {
  const bytes = new ReadableStream({
    start(to) {
      for (const chunk of chunks) to.enqueue(chunk);
      to.close();
    },
  });
  const all = [];
  for await (const event of readEvents(bytes, () => {})) all.push(event);
  return all;
}

test("events are the same wherever the bytes are cut", async () => {
  const text = new TextEncoder().encode(':\n\nevent: snapshot\ndata: {"a":"é"}\n\nid: 1f-2\nevent: change\ndata: {"b":1}\n\n:\n\nevent: change\ndata: {"c"');
  const whole = await read([text]);
  assert.deepEqual(whole, [
    { id: null, kind: "snapshot", data: '{"a":"é"}' },
    { id: "1f-2", kind: "change", data: '{"b":1}' },
  ]);
  for (let cut = 0; cut <= text.length; cut += 1) assert.deepEqual(await read([text.slice(0, cut), text.slice(cut)]), whole);
  assert.deepEqual(await read([...text].map((byte) => Uint8Array.of(byte))), whole);
});

test("a sign of life is no event", () => {
  assert.equal(parseEvent(":"), null);
  assert.equal(parseEvent(""), null);
});
