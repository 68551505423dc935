import { bars } from "./bars.js";
import { heat } from "./heat.js";
import { ranked } from "./ranked.js";
import { record } from "./record.js";
import { series } from "./series.js";

/**
 * How each known answer is best looked at. What is not listed here is shown as the table that it is.
 *
 * `wants`: the columns that the drawing is made for, in their order. An answer that has others is a table, too.
 */
const KNOWN = {
  popular_category_by_year: {
    title: "Popular category by year",
    note: "The category with most posts, by the year of the post",
    wants: ["post_year", "category", "category_count"],
    draw: bars,
    span: "half",
  },
  popular_category_by_age_group: {
    title: "Popular category by age group",
    note: "The category with most posts, by the age of who posted",
    wants: ["age_group", "category", "category_count"],
    draw: bars,
    span: "half",
  },
  median_followers_by_join_year_and_age_group: {
    title: "Median followers by join year and age",
    note: "Deeper water is more; over posts",
    wants: ["age_group", "post_year", "median_follower_count"],
    draw: heat,
    span: "half",
  },
  median_followers_by_age_group: {
    title: "Median by age group",
    note: "Followers, over posts",
    wants: ["age_group", "median_follower_count"],
    draw: bars,
    span: "quarter",
  },
  median_followers_by_join_year: {
    title: "Median by join year",
    note: "Followers, over posts",
    wants: ["post_year", "median_follower_count"],
    draw: series,
    span: "quarter",
  },
  users_joined_by_year: {
    title: "Users joined by year",
    note: "Every user row",
    wants: ["post_year", "number_users_joined"],
    draw: series,
    span: "third",
  },
  user_names_joined_by_year: {
    title: "User names joined by year",
    note: "Each name once",
    wants: ["post_year", "number_users_joined"],
    draw: series,
    span: "third",
  },
  country_with_most_followed_poster: {
    title: "Country of the most followed poster",
    note: "The greatest of all",
    wants: ["country", "follower_count"],
    draw: record,
    span: "third",
  },
  popular_category_by_country: {
    title: "Popular category by country",
    note: "Countries with the largest leading category",
    wants: ["country", "category", "category_count"],
    draw: ranked,
    span: "third",
  },
  most_followed_poster_by_country: {
    title: "Most followed poster by country",
    note: "The greatest follower counts",
    wants: ["country", "poster_name", "follower_count"],
    draw: ranked,
    span: "third",
  },
  most_followed_user_by_country: {
    title: "Most followed user by country",
    note: "The greatest follower counts among users",
    wants: ["country", "user_name", "follower_count"],
    draw: ranked,
    span: "third",
  },
};

/**
 * @param {string} name
 * @param {import("../state/answers.js").Column[]} columns
 * @returns {{title?: string, note?: string, draw?: Function, span: string}}
 */
export function catalogue(name, columns) {
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : null;
  if (!known) return { span: "third" };
  const fits = known.wants.length === columns.length && known.wants.every((column, at) => columns[at].name === column);
  return fits ? known : { ...known, draw: undefined };
}

/** The order in which answers are set: the known ones as listed, then the others as they came. */
export function placed(names) {
  const place = (name) => {
    const at = Object.keys(KNOWN).indexOf(name);
    return at < 0 ? Infinity : at;
  };
  return [...names].sort((one, other) => (place(one) === place(other) ? 0 : place(one) - place(other)));
}
