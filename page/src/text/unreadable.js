/** What of the accepted records could not be read: fields by column, fields that no stream has, times. */
export function unreadableFields({ field_faults: faults, unknown_fields: unknown, times_ahead: ahead }) {
  const columns = faults.map(({ table, column, count }) => ({ label: `${table}.${column}`, count }));
  const others = [
    { label: "fields that no stream has", count: unknown },
    { label: "times more than an hour ahead, counted as unknown", count: ahead },
  ];
  return [...columns, ...others.filter(({ count }) => count > 0)];
}
