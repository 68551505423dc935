// Formats numbers and times in the page's language.

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const ONE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const SIX = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 6 });
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** With thousands separators, and one decimal unless it is an integer. */
export const number = (value) => (Number.isInteger(value) ? WHOLE : ONE).format(value);

/** A double: six significant digits below 1,000, one decimal from there on: `0.00123`, `4,000.5`. */
export const exact = (value) => (Math.abs(value) >= 1000 || Number.isInteger(value) ? number(value) : SIX.format(value));

/** Compact notation: `56K`. */
export const short = (value) => SHORT.format(value);

/** A rate: without decimals from 10 on. */
export const rate = (value) => (value >= 10 || value === 0 ? WHOLE : ONE).format(value);

/** A position. Those of up to 15 digits get thousands separators; Kinesis positions have up to 56 digits. */
export const position = (text) => (/^\d{4,15}$/.test(text) ? text.replace(/\B(?=(\d{3})+$)/g, ",") : text);

/** A moment of the data, in UTC as the server writes it: `2020-01-31 08:00:00 UTC`. */
export const moment = (text) => text.replace("T", " ").replace("Z", " UTC");

/** Local time of day. */
export const clock = (instant) => CLOCK.format(new Date(instant));

/** Bytes in kB, MB or GB. */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) [value, at] = [value / 1000, at + 1];
  return `${at === 0 || value >= 100 ? WHOLE.format(value) : ONE.format(value)} ${units[at]}`;
}

/** Nanoseconds in ns, µs or ms. */
export function nanoseconds(value) {
  if (value < 1000) return `${WHOLE.format(value)} ns`;
  return value < 1_000_000 ? `${rate(value / 1000)} µs` : milliseconds(value / 1_000_000);
}

/** A short duration: `0.4 ms`, `12 ms`, `1.2 s`. */
export function milliseconds(value) {
  if (value >= 1000) return value >= 60_000 ? span(value / 1000) : `${ONE.format(value / 1000)} s`;
  return `${rate(value)} ms`;
}

/** A duration in its two largest units. */
export function span(seconds) {
  const parts = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];
  const first = parts.findIndex(([, length]) => seconds >= length);
  if (first < 0) return "0 s";
  const [unit, length] = parts[first];
  const rest = parts[first + 1];
  const more = rest ? Math.floor((seconds % length) / rest[1]) : 0;
  return `${Math.floor(seconds / length)} ${unit}${more ? ` ${more} ${rest[0]}` : ""}`;
}

/** How long ago: `just now`, `4 s ago`. */
export const ago = (ms) => (ms < 1000 ? "just now" : `${span(ms / 1000)} ago`);
