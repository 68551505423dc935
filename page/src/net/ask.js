import { token } from "./token.js";

/** A reply that is no success: its status, and what the server says about it. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Longest wait for a reply's head. */
const PATIENCE_MS = 20_000;

/**
 * Asks the server of this page, with the token if there is one.
 *
 * @param {string} path a route of the server, from `/`
 * @throws {Refused} if the reply is no success; another error if there is no reply
 */
export async function ask(path, { headers = {}, signal } = {}) {
  const bearer = token();
  const all = bearer ? { ...headers, authorization: `Bearer ${bearer}` } : headers;
  const late = AbortSignal.timeout(PATIENCE_MS);
  // Below the page's own address, which a proxy may have put under a path: never from the root.
  const response = await fetch(new URL(`.${path}`, document.baseURI), {
    headers: all,
    cache: "no-store",
    credentials: "omit",
    // A stream goes on beyond any patience: its reader watches it.
    signal: signal ?? late,
  });
  if (response.ok) return response;
  const fault = await response.json().catch(() => ({}));
  throw new Refused(response.status, fault.message ?? `the server answers ${response.status}`);
}

/** A reply of JSON. */
export const askJson = async (path) => (await ask(path)).json();
