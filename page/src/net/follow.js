import { RequestError, sendRequest } from "./request.js";
import { readEvents } from "./events.js";
import { untilVisible } from "./poll.js";

/** Longest silence of a connection. The server sends a keep-alive comment every 15 seconds. */
const SILENCE_MS = 40_000;
/** A page that is hidden for this long disconnects: browsers allow six connections to one origin over all tabs. */
const UNSEEN_MS = 30_000;
const WAIT_MS = 250;
const WAIT_MAX_MS = 5_000;

/**
 * Subscribes to the changes of all answers. Reconnects after each loss and resumes if the server can.
 *
 * @param {object} to
 * @param {(events: {kind: string, data: any}[]) => void} to.epoch called with all events of one epoch
 * @param {(state: {kind: "connecting" | "live" | "waiting" | "lost" | "locked", why?: string}) => void} to.state
 * @param {() => Promise<void>} to.unlocked resolves when a new token was entered
 * @returns {{restart: () => void}} `restart`: connects again and begins with a snapshot of all answers
 */
export function followChanges(to) {
  const connection = { hangUp: new AbortController() };
  follow(to, connection);
  return { restart: () => connection.hangUp.abort(new Restart()) };
}

async function follow(to, connection) {
  let [seen, failures] = [null, 0];
  to.state({ kind: "connecting" });
  for (;;) {
    try {
      for await (const id of session(to, seen, connection)) [seen, failures] = [id, 0];
      throw new Error("the server has ended the stream");
    } catch (error) {
      if (error instanceof RequestError && (error.status === 401 || error.status === 403)) {
        to.state({ kind: "locked", why: error.message });
        await to.unlocked();
        failures = 0;
        continue;
      }
      if (error instanceof Restart) {
        seen = null;
        continue;
      }
      if (error instanceof Unseen) {
        await untilVisible();
        continue;
      }
      const waits = error instanceof RequestError && error.status === 503;
      // Browsers have different texts for failed requests, without a reason.
      const why = error instanceof TypeError ? "the server cannot be reached" : error.message;
      to.state({ kind: waits ? "waiting" : "lost", why });
    }
    await pause(Math.min(WAIT_MAX_MS, WAIT_MS * 2 ** failures) * (0.5 + Math.random() / 2));
    failures += 1;
  }
}

/** Connect again at once and begin with a snapshot: the server dropped this client because it was too slow, or the questions changed. */
class Restart extends Error {}

/** The page is hidden. The subscription resumes when it becomes visible. */
class Unseen extends Error {}

/** One connection. Yields the id of each complete epoch. */
async function* session(to, seen, connection) {
  const hangUp = (connection.hangUp = new AbortController());
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
    const response = await sendRequest("/changes", { headers, signal: hangUp.signal });
    to.state({ kind: "live" });
    let open = [];
    for await (const { id, kind, data } of readEvents(response.body, alive)) {
      if (kind === "dropped") throw new Restart();
      open.push({ kind, data: JSON.parse(data) });
      // Only the last event of an epoch has an id: until then the epoch is incomplete.
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

/** Waits. Ends early when the network returns or the page becomes visible. */
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
