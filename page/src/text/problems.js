/**
 * A problem of a question's text. Lines and columns count from 1, columns and lengths in characters. Without a place the whole
 * question caused it.
 *
 * @typedef {{line: number | null, column: number | null, length: number | null, message: string}} Problem
 */

/**
 * Where the words of problems are in the text, in the units of a text area. Null for a problem without a place in it.
 *
 * @param {string} text
 * @param {Problem[]} problems
 * @returns {({start: number, end: number} | null)[]}
 */
export function problemRanges(text, problems) {
  const lines = text.split("\n");
  const starts = lines.map(((at) => (line) => (at += line.length + 1) - line.length - 1)(0));
  return problems.map(({ line, column, length }) => {
    if (!line || !column || line > lines.length) return null;
    // A character above U+FFFF is two units.
    const characters = Array.from(lines[line - 1]);
    const units = (count) => characters.slice(0, count).join("").length;
    const [start, end] = [units(column - 1), units(column - 1 + Math.max(1, length ?? 1))];
    return { start: starts[line - 1] + start, end: starts[line - 1] + end };
  });
}

/** `Line 2, column 8: there is no column …`. */
export function problemWords({ line, column, message }) {
  return line ? `Line ${line}, column ${column}: ${message}` : `The question: ${message}`;
}
