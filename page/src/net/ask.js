import { token } from "./token.js";

/** A reply that is no success: its status, and what the server says about it. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Longest wait for a reply's head. */
const REPLY_TIMEOUT_MS = 20_000;

/** The address of a route. Below the page's own address, which a proxy may have put under a path: never from the root. */
export const address = (path) => new URL(`.${path}`, document.baseURI).href;

/**
 * Asks the server of this page, with the token if there is one.
 *
 * @param {string} path a route of the server, from `/`
 * @throws {Refused} if the reply is no success; another error if there is no reply
 */
export async function ask(path, { headers = {}, signal, timeout = REPLY_TIMEOUT_MS } = {}) {
  const bearer = token();
  const all = bearer ? { ...headers, authorization: `Bearer ${bearer}` } : headers;
  const late = AbortSignal.timeout(timeout);
  const response = await fetch(address(path), {
    headers: all,
    cache: "no-store",
    credentials: "omit",
    // A stream has no end: its reader watches it.
    signal: signal ?? late,
  });
  if (response.ok) return response;
  const fault = await response.json().catch(() => ({}));
  throw new Refused(response.status, fault.message ?? `the server answers ${response.status}`);
}

/** A reply of JSON. */
export const askJson = async (path, options) => (await ask(path, options)).json();
