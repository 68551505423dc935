/**
 * The current answers. Rows are identified by their values: no answer has the same row twice.
 */
export class Answers {
  /** @type {Map<string, {name: string, columns: Column[], rows: Map<string, object>, fresh: Map<string, number>}>} */
  held = new Map();
  epoch = 0;
  asOf = null;

  /**
   * Applies all events of one epoch.
   *
   * @param {{kind: string, data: any}[]} events
   * @param {number} now milliseconds, to mark changed rows
   * @returns {Set<string>} the answers that changed
   */
  take(events, now) {
    const touched = new Set();
    for (const { kind, data } of events) {
      if (kind === "snapshot") this.#snapshot(data);
      else if (kind === "change") this.#change(data, now);
      else continue;
      this.epoch = data.epoch;
      this.asOf = data.as_of ?? this.asOf;
      touched.add(data.answer);
    }
    return touched;
  }

  #snapshot({ answer, columns, rows }) {
    const keyed = new Map(rows.map((row) => [JSON.stringify(row), row]));
    this.held.set(answer, { name: answer, columns, rows: keyed, fresh: new Map() });
  }

  #change({ answer, insert, delete: gone }, now) {
    const held = this.held.get(answer);
    if (!held) return;
    for (const row of gone) {
      const key = JSON.stringify(row);
      held.rows.delete(key);
      held.fresh.delete(key);
    }
    for (const row of insert) {
      const key = JSON.stringify(row);
      held.rows.set(key, row);
      held.fresh.set(key, now);
    }
  }
}

/**
 * Sorts rows: grouping columns ascending, then the number descending, then the name.
 *
 * @typedef {{name: string, type: "long" | "text" | "double", group: boolean}} Column
 * @param {Iterable<object>} rows
 * @param {Column[]} columns
 */
export function sortRows(rows, columns) {
  const groups = columns.filter((column) => column.group);
  const figures = columns.filter((column) => !column.group && column.type !== "text");
  const labels = columns.filter((column) => !column.group && column.type === "text");
  const keys = [...groups.map(({ name }) => [name, 1]), ...figures.map(({ name }) => [name, -1]), ...labels.map(({ name }) => [name, 1])];
  return [...rows].sort((one, other) => {
    for (const [name, way] of keys) {
      const order = compareValues(one[name], other[name]);
      if (order !== 0) return order * way;
    }
    return 0;
  });
}

/** Compares numbers by value and texts by UTF-16 code unit, nearly as the server does. Null comes last. */
export function compareValues(one, other) {
  if (one === other) return 0;
  if (one === null || one === undefined) return 1;
  if (other === null || other === undefined) return -1;
  return one < other ? -1 : 1;
}
