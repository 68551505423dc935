/**
 * The current answers. Equal rows are held once, with how often they are there.
 *
 * @typedef {{name: string, type: "long" | "text" | "double" | "boolean" | "timestamp", nullable: boolean, group: boolean}} Column
 * @typedef {{column: string, descending: boolean, nulls_first: boolean}} OrderKey
 * @typedef {{name: string, columns: Column[], order: OrderKey[], rows: Map<string, {row: object, count: number}>, fresh: Map<string, number>, snapshotEpoch: number, snapshotAt: number}} Answer
 */
export class Answers {
  /** @type {Map<string, Answer>} */
  held = new Map();
  epoch = 0;
  asOf = null;

  /**
   * Applies all events of one epoch.
   *
   * @param {{kind: string, data: any}[]} events
   * @param {number} now milliseconds, to mark changed rows
   * @returns {Set<string>} the answers that changed, also those that are not held
   */
  take(events, now) {
    const touched = new Set();
    for (const { kind, data } of events) {
      if (kind === "snapshot") this.#snapshot(data, now);
      else if (kind === "change") this.#change(data, now);
      else if (kind === "removed") this.held.delete(data.answer);
      else continue;
      this.epoch = data.epoch;
      this.asOf = data.as_of ?? this.asOf;
      touched.add(data.answer);
    }
    return touched;
  }

  #snapshot({ answer, columns, order, rows, epoch }, now) {
    const held = { name: answer, columns, order, rows: new Map(), fresh: new Map(), snapshotEpoch: epoch, snapshotAt: now };
    for (const row of rows) addRow(held, row, 1);
    this.held.set(answer, held);
  }

  #change({ answer, insert, delete: gone }, now) {
    const held = this.held.get(answer);
    if (!held) return;
    for (const row of gone) addRow(held, row, -1);
    for (const row of insert) held.fresh.set(addRow(held, row, 1), now);
  }
}

/** Changes how often a row is there. Returns its key. */
function addRow({ rows, fresh }, row, by) {
  const key = JSON.stringify(row);
  const count = (rows.get(key)?.count ?? 0) + by;
  if (count > 0) rows.set(key, { row, count });
  else {
    rows.delete(key);
    fresh.delete(key);
  }
  return key;
}

/**
 * The rows in the answer's order, each as often as it is there. Ties are settled by all columns, ascending.
 *
 * @param {Pick<Answer, "columns" | "order" | "rows">} answer
 * @returns {object[]}
 */
export function listRows({ columns, order, rows }) {
  const keys = [...order, ...columns.map(({ name }) => ({ column: name, descending: false, nulls_first: false }))];
  const compare = (one, other) => {
    for (const { column, descending, nulls_first } of keys) {
      const [a, b] = [one.row[column], other.row[column]];
      const result = compareValues(a, b);
      if (result !== 0) return a === null || b === null ? (nulls_first ? -result : result) : descending ? -result : result;
    }
    return 0;
  };
  return [...rows.values()].sort(compare).flatMap(({ row, count }) => Array(count).fill(row));
}

/** Compares numbers by value and texts by UTF-16 code unit, nearly as the server does. Null comes last. */
export function compareValues(one, other) {
  if (one === other) return 0;
  if (one === null || one === undefined) return 1;
  if (other === null || other === undefined) return -1;
  return one < other ? -1 : 1;
}
