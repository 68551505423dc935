import { bytes } from "./format.js";

/**
 * What a question would hold in memory, as sentences. All sizes are estimates.
 *
 * @param {{held_anyway: string[], held_for_it: {column: string, is_computed: boolean, bytes: number}[], bytes_per_ind: number, state: {holds: string, bytes_per_group: number, bytes_per_row: number}[]}} memory
 * @returns {string[]}
 */
export function memoryWords({ held_anyway: anyway, held_for_it: extra, bytes_per_ind: perInd, state }) {
  const extras = extra.map(({ column, is_computed, bytes: size }) => `${is_computed ? "computed of " : ""}${column} (${bytes(size)})`);
  return [
    `Columns: about ${bytes(perInd)} more for each ind.`,
    extras.length > 0 ? `Held for this question: ${extras.join(", ")}.` : "",
    anyway.length > 0 ? `Held anyway: ${anyway.join(", ")}.` : "",
    ...state.map(stateWords),
  ].filter(Boolean);
}

/** `Groups: about 96 B for each group, and 24 B for each different row in it.` */
function stateWords({ holds, bytes_per_group: group, bytes_per_row: row }) {
  const sizes = [group > 0 ? `${bytes(group)} for each group` : "", row > 0 ? `${bytes(row)} for each ${group > 0 ? "different row in it" : "row"}` : ""];
  return `${holds.charAt(0).toUpperCase()}${holds.slice(1)}: about ${sizes.filter(Boolean).join(", and ")}.`;
}
