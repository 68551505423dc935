/** `popular_category_by_year`, as people write it. */
export function words(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `1 row`, `2 rows`. */
export const counted = (count, of, written) => `${written ?? count} ${of}${count === 1 ? "" : "s"}`;
