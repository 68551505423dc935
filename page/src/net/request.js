import { storedToken } from "./token.js";

/** The server's error reply: its status, message and further fields. */
export class RequestError extends Error {
  constructor(status, message, fields = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

/** Longest wait for the head of a reply, milliseconds. */
const REPLY_TIMEOUT_MS = 20_000;

/** The URL of a route, relative to the page: a proxy may serve the page below a path. */
export const routeUrl = (path) => new URL(`.${path}`, document.baseURI).href;

/**
 * Sends a request with the token, if there is one.
 *
 * @param {string} path a route of the server, starting with `/`
 * @param {{method?: string, body?: string, headers?: Record<string, string>, signal?: AbortSignal, timeout?: number, token?: string}} [options]
 * @throws {RequestError} for an error status; another error without a reply
 */
export async function sendRequest(path, { method = "GET", body, headers = {}, signal, timeout = REPLY_TIMEOUT_MS, token } = {}) {
  const bearer = token ?? storedToken();
  const all = bearer ? { ...headers, authorization: `Bearer ${bearer}` } : headers;
  const late = AbortSignal.timeout(timeout);
  const response = await fetch(routeUrl(path), {
    method,
    body,
    headers: all,
    cache: "no-store",
    credentials: "omit",
    // A stream has its own timeout.
    signal: signal ?? late,
  });
  if (response.ok) return response;
  const fault = await response.json().catch(() => ({}));
  throw new RequestError(response.status, fault.message ?? `the server answers ${response.status}`, fault);
}

/** Sends a request and parses the JSON reply. */
export const fetchJson = async (path, options) => (await sendRequest(path, options)).json();
