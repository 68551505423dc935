//! What `question explain` says of the state is near what the state counts.

use super::histories::KeyedTables;
use super::runs::QuestionRun;
use super::texts::plans_of;
use crate::catalog::{POSTS, RelationCatalog};
use crate::datum::{Datum, Row, SqlType};
use crate::expr::{ExprKind, ScalarExpr};

const LONG_TEXT: &str = "a text that does not fit in its value: ";

/// Texts of `title` are long.
fn owned_bytes(relation: usize, expr: &ScalarExpr) -> usize {
    match expr.kind {
        ExprKind::Column(column) if POSTS.relations[relation].columns[column].name == "title" => LONG_TEXT.len() + 8,
        _ => 0,
    }
}

/// A row of which `category`, `country` and `age` have `groups` values, and all other columns another one for each key.
fn row_of(catalog: &RelationCatalog, relation: usize, key: i64, groups: i64) -> Row {
    // Values do not come in their order.
    let mixed = key * 7_919 % 99_991;
    let value = |column: &crate::catalog::CatalogColumn| match (column.name, column.ty) {
        ("ind", _) => Datum::Long(key),
        ("age", _) => Datum::Long(key % groups),
        ("category" | "country", _) => Datum::text(&format!("g{}", key % groups)),
        ("title", _) => Datum::text(&format!("{LONG_TEXT}{mixed:08}")),
        (_, SqlType::Text) => Datum::text(&format!("t{mixed}")),
        (_, SqlType::Long) => Datum::Long(mixed),
        (_, SqlType::Time) => Datum::Time(mixed),
        _ => Datum::Null,
    };
    catalog.relations[relation].columns.iter().map(value).collect()
}

#[test]
fn estimates_of_the_state_are_within_a_fifth_of_what_it_counts() {
    let texts = [
        "SELECT category, count(*) FROM pin GROUP BY category",
        "SELECT category, sum(follower_count), count(title), avg(follower_count) FROM pin GROUP BY category",
        "SELECT country, age, count(*), stddev(age) FROM geo JOIN user USING (ind) GROUP BY country, age",
        "SELECT category, count(DISTINCT poster_name) FROM pin GROUP BY category",
        "SELECT category, min(title), max(title) FROM pin GROUP BY category",
        "SELECT category, median(follower_count), mode(poster_name) FROM pin GROUP BY category",
        "SELECT category, max_by(title, follower_count) FROM pin GROUP BY category",
        "SELECT category, string_agg(title, ', ' ORDER BY follower_count) FROM pin GROUP BY category",
        "SELECT ind, title FROM pin ORDER BY follower_count DESC LIMIT 10",
        "SELECT ind, rank() OVER (PARTITION BY category ORDER BY follower_count) AS place, title FROM pin",
        "SELECT ind, title, mean FROM pin JOIN (SELECT category, avg(follower_count) AS mean FROM pin GROUP BY category)
             USING (category)",
    ];
    let mut found = Vec::new();
    for (rows, groups) in [(600, 600), (700, 90), (1_000, 10), (2_000, 700)] {
        for text in texts {
            let (_, maintained) = plans_of(text);
            let estimate = maintained.estimate_state(&owned_bytes).bytes(groups as usize, rows as usize);
            let mut run = QuestionRun::start(maintained, false).expect("an empty state");
            let (before, mut after) = (KeyedTables::new(&POSTS), KeyedTables::new(&POSTS));
            for key in 0..rows {
                for (relation, table) in after.rows.iter_mut().enumerate() {
                    table.entry(key).or_default().insert(row_of(&POSTS, relation, key, groups), 1);
                }
            }
            let keys: Vec<i64> = (0..rows).collect();
            run.apply(&before, &after, &keys).expect("only rows that are there go");
            let share = estimate as f64 / run.usage().bytes as f64;
            if !(0.8..=1.2).contains(&share) {
                found.push(format!(
                    "{share:.2}: {estimate} for {:?}, {rows} rows in {groups} groups: {text}",
                    run.usage()
                ));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
