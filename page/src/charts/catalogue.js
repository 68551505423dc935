import { barChart } from "./bars.js";
import { heatMap } from "./heat.js";
import { rankedList } from "./ranked.js";
import { singleValue } from "./record.js";
import { yearChart } from "./series.js";

/**
 * Title and chart of each known answer. Other answers are shown as tables.
 *
 * `wants`: the columns that the chart expects, in order. An answer with other columns is shown as a table.
 */
const KNOWN = {
  popular_category_by_year: {
    title: "Popular category by year",
    note: "The category with most posts, by the year of the post",
    wants: ["post_year", "category", "category_count"],
    needs: "It needs pin and geo records with the same ind.",
    draw: barChart,
    span: "half",
  },
  popular_category_by_age_group: {
    title: "Popular category by age group",
    note: "The category with most posts, by the age of who posted",
    wants: ["age_group", "category", "category_count"],
    needs: "It needs pin and user records with the same ind.",
    draw: barChart,
    span: "half",
  },
  median_followers_by_join_year_and_age_group: {
    title: "Median followers by join year and age",
    note: "Followers, over posts. Coloured by rank, the strongest colour is the greatest",
    wants: ["age_group", "post_year", "median_follower_count"],
    needs: "It needs pin and user records with the same ind.",
    draw: heatMap,
    span: "half",
  },
  median_followers_by_age_group: {
    title: "Median by age group",
    note: "Followers, over posts",
    wants: ["age_group", "median_follower_count"],
    needs: "It needs pin and user records with the same ind.",
    draw: barChart,
    span: "quarter",
  },
  median_followers_by_join_year: {
    title: "Median by join year",
    note: "Followers, over posts",
    wants: ["post_year", "median_follower_count"],
    needs: "It needs pin and user records with the same ind.",
    draw: yearChart,
    span: "quarter",
  },
  users_joined_by_year: {
    title: "Users joined by year",
    note: "Every user row counts",
    wants: ["post_year", "number_users_joined"],
    needs: "It needs user records.",
    draw: yearChart,
    span: "third",
  },
  user_names_joined_by_year: {
    title: "User names joined by year",
    note: "Each name counts once",
    wants: ["post_year", "number_users_joined"],
    needs: "It needs user records.",
    draw: yearChart,
    span: "third",
  },
  country_with_most_followed_poster: {
    title: "Country of the most followed poster",
    note: "The greatest follower count of all",
    wants: ["country", "follower_count"],
    needs: "It needs pin and geo records with the same ind.",
    draw: singleValue,
    span: "third",
  },
  popular_category_by_country: {
    title: "Popular category by country",
    note: "Countries with the largest leading category",
    wants: ["country", "category", "category_count"],
    needs: "It needs pin and geo records with the same ind.",
    draw: rankedList,
    span: "third",
  },
  most_followed_poster_by_country: {
    title: "Most followed poster by country",
    note: "The greatest follower counts",
    wants: ["country", "poster_name", "follower_count"],
    needs: "It needs pin and geo records with the same ind.",
    draw: rankedList,
    span: "third",
  },
  most_followed_user_by_country: {
    title: "Most followed user by country",
    note: "The greatest follower counts among users",
    wants: ["country", "user_name", "follower_count"],
    needs: "It needs pin, geo and user records with the same ind.",
    draw: rankedList,
    span: "third",
  },
};

/**
 * @param {string} name
 * @param {import("../state/answers.js").Column[]} columns
 * @returns {{title?: string, note?: string, draw?: (rows: object[], columns: object[], width: number, isFresh: (row: object) => boolean) => {element: Node, shown: number}, span: string}}
 *   `shown`: number of rows in the chart
 */
export function chartFor(name, columns) {
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : null;
  if (!known) return { span: "third" };
  const fits = known.wants.length === columns.length && known.wants.every((column, at) => columns[at].name === column);
  return fits ? known : { ...known, draw: undefined };
}

/** Sorts the answers: known ones as listed above, then the others in their order. */
export function orderAnswers(names) {
  const place = (name) => {
    const at = Object.keys(KNOWN).indexOf(name);
    return at < 0 ? Infinity : at;
  };
  return [...names].sort((one, other) => (place(one) === place(other) ? 0 : place(one) - place(other)));
}
