import { barChart } from "./bars.js";
import { heatMap } from "./heat.js";
import { rankedList } from "./ranked.js";
import { singleValue } from "./record.js";
import { yearChart } from "./series.js";
import { chooseChart } from "./shape.js";
import { readableName } from "../text/words.js";

/**
 * Title and chart of each built-in answer. The chart of any other answer is chosen by its columns.
 *
 * `wants`: the columns that the chart expects, in order.
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
 * Title, note and width of an answer's card.
 *
 * @param {string} name
 * @returns {{title: string, note: string, needs: string, span: string}}
 */
export function cardOf(name) {
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : {};
  return { title: readableName(name), note: "", needs: "Rows appear with the first records that match.", span: "third", ...known };
}

/**
 * The chart of an answer: that of the catalogue, if it fits its columns, otherwise one by the shape of its columns. Null if only
 * a table fits.
 *
 * @param {import("../state/answers.js").Answer} answer
 * @param {object[]} rows all rows of the answer
 * @returns {import("./shape.js").Chart | null}
 */
export function chartOf(answer, rows) {
  const known = Object.hasOwn(KNOWN, answer.name) ? KNOWN[answer.name] : null;
  const fits = known?.wants.length === answer.columns.length && known.wants.every((column, at) => answer.columns[at].name === column);
  return fits ? { kind: "known", words: known.note, draw: known.draw } : chooseChart(answer, rows);
}

/** Sorts the answers: built-in ones as listed above, then the others in their order. */
export function orderAnswers(names) {
  const place = (name) => {
    const at = Object.keys(KNOWN).indexOf(name);
    return at < 0 ? Infinity : at;
  };
  return [...names].sort((one, other) => (place(one) === place(other) ? 0 : place(one) - place(other)));
}
