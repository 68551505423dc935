//! Questions as texts, over random histories.

use std::collections::BTreeMap;

use super::histories::{KeyedTables, RowsPerKey, random_epoch};
use super::questions::naive_answer;
use super::runs::QuestionRun;
use super::{RandomDraws, case_count};
use crate::bind::bind_question;
use crate::catalog::POSTS;
use crate::plan::QueryPlan;
use crate::split::{MaintainedPlan, maintain_plan};

/// Texts with how many operators they have above their leaves and groups.
const TEXTS: &[(usize, &str)] = &[
    (0, "SELECT category, count(*) AS posts FROM pin WHERE category IS NOT NULL GROUP BY category ORDER BY posts DESC"),
    (0, "SELECT count(*), count(*) FILTER (WHERE title IS NULL), count(*) FILTER (WHERE tag_list IS NULL) FROM pin"),
    (0, "SELECT DISTINCT country, category FROM pin JOIN geo USING (ind)"),
    (
        0,
        "SELECT category, count(*) FROM pin LEFT JOIN geo ON geo.ind = pin.ind WHERE geo.ind IS NULL GROUP BY category",
    ),
    (0, "SELECT ind, title IS NULL AS no_title, country FROM pin FULL JOIN geo USING (ind)"),
    (0, "SELECT country, age FROM pin FULL JOIN geo USING (ind) LEFT JOIN user USING (ind) WHERE category IS NULL"),
    (0, "SELECT ind FROM pin WHERE EXISTS (SELECT 1 FROM geo WHERE geo.ind = pin.ind AND country = 'a')"),
    (0, "SELECT ind FROM pin WHERE NOT EXISTS (SELECT 1 FROM geo WHERE geo.ind = pin.ind AND country = category)"),
    (
        0,
        "SELECT category, percentile_cont(0.25) WITHIN GROUP (ORDER BY follower_count), median(follower_count)
         FROM pin GROUP BY category",
    ),
    (
        0,
        "SELECT country, string_agg(DISTINCT category, ', ' ORDER BY category), max_by(poster_name, follower_count),
             stddev(age), mode(category), count(DISTINCT poster_name)
         FROM pin JOIN geo USING (ind) JOIN user USING (ind) GROUP BY country",
    ),
    (1, "SELECT category, count(*) AS posts FROM pin GROUP BY category HAVING count(*) > 2"),
    (1, "SELECT ind, title, timestamp FROM pin JOIN geo USING (ind) ORDER BY timestamp DESC, ind LIMIT 3"),
    (
        1,
        "SELECT tag, count(*) AS posts FROM (SELECT trim(unnest(string_split(tag_list, ','))) AS tag FROM pin)
         WHERE tag <> '' GROUP BY tag ORDER BY posts DESC, tag LIMIT 2",
    ),
    (
        3,
        "WITH counted AS (
             SELECT country, category, count(*) AS posts FROM pin JOIN geo USING (ind) GROUP BY country, category
         ), ranked AS (
             SELECT *, row_number() OVER (PARTITION BY country ORDER BY posts DESC, category) AS place FROM counted
         )
         SELECT country, place, category, posts FROM ranked WHERE place <= 2",
    ),
    (
        2,
        "SELECT country, category, posts, round(posts * 1.0 / sum(posts) OVER (PARTITION BY country), 4) AS share
         FROM (SELECT country, category, count(*) AS posts FROM pin JOIN geo USING (ind) GROUP BY country, category)",
    ),
    (
        2,
        "SELECT posts, count(*) AS posters
         FROM (SELECT poster_name, count(*) AS posts FROM pin WHERE poster_name IS NOT NULL GROUP BY poster_name)
         GROUP BY posts",
    ),
    (
        4,
        "WITH counted AS (SELECT category, count(*) AS posts FROM pin GROUP BY category)
         SELECT category, posts FROM counted WHERE posts = (SELECT max(posts) FROM counted)",
    ),
    (
        2,
        "SELECT ind, follower_count FROM pin
         JOIN (SELECT category, avg(follower_count) AS mean FROM pin GROUP BY category) AS means
             ON means.category = pin.category
         WHERE follower_count > mean",
    ),
    (0, "SELECT country AS place FROM geo WHERE country IS NOT NULL UNION SELECT category FROM pin"),
];

/// The plan of a text as it is bound, and as it is maintained.
pub(super) fn plans_of(text: &str) -> (QueryPlan, MaintainedPlan) {
    let bound = bind_question("question", text, &POSTS, &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
    let maintained = maintain_plan(&bound.plan, &POSTS);
    (bound.plan, maintained)
}

#[test]
fn texts_have_few_operators_above_their_leaves() {
    let mut found = Vec::new();
    for (expected, text) in TEXTS {
        let (_, maintained) = plans_of(text);
        let operators = maintained.upper.operators().count() - maintained.leaves.len();
        if operators != *expected {
            found.push(format!("{operators} instead of {expected}: {text}"));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn answers_of_texts_after_each_epoch_are_those_of_the_naive_evaluator() {
    let histories = case_count().div_ceil(16);
    for (number, (_, text)) in TEXTS.iter().enumerate() {
        let (plan, maintained) = plans_of(text);
        for seed in 0..histories {
            let mut draws = RandomDraws::new(seed * 1_000 + number as u64);
            let rows_per_key = *draws.pick(&[RowsPerKey::Latest, RowsPerKey::Keep]);
            let mut run = QuestionRun::start(maintained.clone(), draws.once_in(2)).expect("an empty state");
            let mut tables = KeyedTables::new(&POSTS);
            for _ in 0..12 {
                let before = tables.clone();
                let keys = random_epoch(&mut draws, &mut tables, &POSTS, rows_per_key);
                run.apply(&before, &tables, &keys).expect("only rows that are there go");
                assert_eq!(run.answer, naive_answer(&plan, &tables), "seed {seed}: {text}");
            }
        }
    }
}
