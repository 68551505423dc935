import { Refused, ask } from "./ask.js";
import { events } from "./events.js";
import { shown } from "./poll.js";

/** The server gives a sign of life every 15 seconds. */
const SILENCE_MS = 40_000;
/** A page that nobody looks at for so long hangs up: browsers allow six connections to one place, over all tabs. */
const UNSEEN_MS = 30_000;
const WAIT_MS = 250;
const WAIT_MAX_MS = 5_000;

/**
 * Follows all answers, for ever: comes back after each loss, where it was if that is possible.
 *
 * @param {object} to
 * @param {(events: {kind: string, data: any}[]) => void} to.epoch all events of one epoch, never a part of them
 * @param {(state: {kind: "connecting" | "live" | "waiting" | "lost" | "locked", why?: string}) => void} to.state
 * @param {() => Promise<void>} to.unlocked resolves when there is another token
 */
export async function follow(to) {
  let [seen, failures] = [null, 0];
  to.state({ kind: "connecting" });
  for (;;) {
    try {
      for await (const id of session(to, seen)) [seen, failures] = [id, 0];
      throw new Error("the server has ended the stream");
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        to.state({ kind: "locked", why: error.message });
        await to.unlocked();
        failures = 0;
        continue;
      }
      if (error instanceof Restart) continue;
      if (error instanceof Unseen) {
        await shown();
        continue;
      }
      const waits = error instanceof Refused && error.status === 503;
      // Browsers say only that a request failed, each in words of its own.
      const why = error instanceof TypeError ? "the server cannot be reached" : error.message;
      to.state({ kind: waits ? "waiting" : "lost", why });
    }
    await pause(Math.min(WAIT_MAX_MS, WAIT_MS * 2 ** failures) * (0.5 + Math.random() / 2));
    failures += 1;
  }
}

/** The server lets go of whoever is too slow; coming back at once is what it asks for. */
class Restart extends Error {}

/** Nobody looks. Where it was, it goes on as soon as somebody does. */
class Unseen extends Error {}

/** One connection; gives the id of each epoch that is complete. */
async function* session(to, seen) {
  const hangUp = new AbortController();
  let [watch, unseen] = [0, 0];
  const alive = () => {
    clearTimeout(watch);
    watch = setTimeout(() => hangUp.abort(new Error("nothing was heard for too long")), SILENCE_MS);
  };
  const look = () => {
    clearTimeout(unseen);
    if (document.hidden) unseen = setTimeout(() => hangUp.abort(new Unseen()), UNSEEN_MS);
  };
  document.addEventListener("visibilitychange", look);
  try {
    look();
    alive();
    const headers = { accept: "text/event-stream", ...(seen ? { "last-event-id": seen } : {}) };
    const response = await ask("/changes", { headers, signal: hangUp.signal });
    to.state({ kind: "live" });
    let open = [];
    for await (const { id, kind, data } of events(response.body, alive)) {
      if (kind === "dropped") throw new Restart();
      open.push({ kind, data: JSON.parse(data) });
      // The id stands at the last event of an epoch: before it, what is there belongs to no whole epoch.
      if (id === null) continue;
      to.epoch(open);
      open = [];
      yield id;
    }
  } finally {
    clearTimeout(watch);
    clearTimeout(unseen);
    document.removeEventListener("visibilitychange", look);
    hangUp.abort();
  }
}

/** Waits; a network that has come back, or a page that is looked at again, ends the wait. */
function pause(milliseconds) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      document.removeEventListener("visibilitychange", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    addEventListener("online", end);
    document.addEventListener("visibilitychange", end);
  });
}
