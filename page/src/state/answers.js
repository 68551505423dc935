/**
 * The answers as they stand. Rows are told apart by what they hold, as the server does: no answer lists a row twice.
 */
export class Answers {
  /** @type {Map<string, {name: string, columns: Column[], rows: Map<string, object>, fresh: Map<string, number>}>} */
  held = new Map();
  epoch = 0;
  asOf = null;

  /**
   * Takes up all events of one epoch.
   *
   * @param {{kind: string, data: any}[]} events
   * @param {number} now milliseconds, to mark what has just changed
   * @returns {Set<string>} the answers that differ
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
 * Rows as a reader expects them: by grouping columns upwards, then by the figure downwards, then by what is named.
 *
 * @typedef {{name: string, type: "long" | "text" | "double", group: boolean}} Column
 * @param {Iterable<object>} rows
 * @param {Column[]} columns
 */
export function ordered(rows, columns) {
  const groups = columns.filter((column) => column.group);
  const figures = columns.filter((column) => !column.group && column.type !== "text");
  const labels = columns.filter((column) => !column.group && column.type === "text");
  const keys = [...groups.map(({ name }) => [name, 1]), ...figures.map(({ name }) => [name, -1]), ...labels.map(({ name }) => [name, 1])];
  return [...rows].sort((one, other) => {
    for (const [name, way] of keys) {
      const order = compare(one[name], other[name]);
      if (order !== 0) return order * way;
    }
    return 0;
  });
}

/** Numbers by size, texts as the server orders them: by code point, near enough. Nothing comes last. */
export function compare(one, other) {
  if (one === other) return 0;
  if (one === null || one === undefined) return 1;
  if (other === null || other === undefined) return -1;
  return one < other ? -1 : 1;
}
