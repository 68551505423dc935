//! Plans of questions: `plans.txt` has texts with what `explain` says of them, in lines that start with `>`.

use pinflow_sql::bind::{QuestionParameters, bind_question};
use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::{Datum, SqlType};

use super::{bind, bound};

const CASES: &str = include_str!("plans.txt");

/// The texts of the questions that are part of the program, with their columns.
const BUILT_IN: [(&str, &str); 11] = [
    (
        include_str!("../../../../dataflows/src/questions/country_with_most_followed_poster.sql"),
        "country text, follower_count bigint",
    ),
    (
        include_str!("../../../../dataflows/src/questions/median_followers_by_age_group.sql"),
        "age_group text, median_follower_count double",
    ),
    (
        include_str!("../../../../dataflows/src/questions/median_followers_by_join_year.sql"),
        "post_year bigint, median_follower_count double",
    ),
    (
        include_str!("../../../../dataflows/src/questions/median_followers_by_join_year_and_age_group.sql"),
        "age_group text, post_year bigint, median_follower_count double",
    ),
    (
        include_str!("../../../../dataflows/src/questions/most_followed_poster_by_country.sql"),
        "country text, poster_name text, follower_count bigint",
    ),
    (
        include_str!("../../../../dataflows/src/questions/most_followed_user_by_country.sql"),
        "country text, user_name text, follower_count bigint",
    ),
    (
        include_str!("../../../../dataflows/src/questions/popular_category_by_age_group.sql"),
        "age_group text, category text, category_count bigint",
    ),
    (
        include_str!("../../../../dataflows/src/questions/popular_category_by_country.sql"),
        "country text, category text, category_count bigint",
    ),
    (
        include_str!("../../../../dataflows/src/questions/popular_category_by_year.sql"),
        "post_year bigint, category text, category_count bigint",
    ),
    (
        include_str!("../../../../dataflows/src/questions/user_names_joined_by_year.sql"),
        "post_year bigint, number_users_joined bigint",
    ),
    (
        include_str!("../../../../dataflows/src/questions/users_joined_by_year.sql"),
        "post_year bigint, number_users_joined bigint",
    ),
];

/// The texts of the file, each with its explanation.
fn cases() -> Vec<(String, String)> {
    let mut cases: Vec<(String, String)> = Vec::new();
    let mut text = String::new();
    for line in CASES.lines() {
        let Some(explained) = line.strip_prefix('>') else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        if !text.trim().is_empty() {
            cases.push((text.trim().to_owned(), String::new()));
            text.clear();
        }
        let (_, expected) = cases.last_mut().expect("the file starts with a text");
        expected.push_str(explained.strip_prefix(' ').unwrap_or(explained));
        expected.push('\n');
    }
    cases
}

#[test]
fn questions_have_the_expected_plans() {
    let cases = cases();
    assert!(cases.len() >= 50, "{} cases", cases.len());
    let mut different = String::new();
    for (text, expected) in cases {
        let found = bound(&text).explain(&POSTS);
        if found != expected {
            let found: String = found.lines().map(|line| format!("> {line}\n")).collect();
            different.push_str(&format!("{text}\n{found}\n"));
        }
    }
    assert!(different.is_empty(), "these are different now:\n{different}");
}

#[test]
fn built_in_questions_have_their_columns_under_all_parameters() {
    for (text, columns) in BUILT_IN {
        for (ties, top, median) in [("all", Datum::Long(1), "exact"), ("first", Datum::Null, "lower")] {
            let parameters = QuestionParameters::from([
                ("ties".to_owned(), Datum::text(ties)),
                ("top".to_owned(), top),
                ("median".to_owned(), Datum::text(median)),
            ]);
            let question =
                bind_question("built in", text, &POSTS, &parameters).unwrap_or_else(|error| panic!("{error}"));
            let found: Vec<String> =
                question.columns.iter().map(|column| format!("{} {}", column.name, column.ty)).collect();
            assert_eq!(found.join(", "), columns);
            assert_eq!(
                question.plan.types(),
                question.columns.iter().map(|column| column.ty).collect::<Vec<SqlType>>()
            );
        }
    }
}

#[test]
fn parameters_are_folded_away() {
    let text = include_str!("../../../../dataflows/src/questions/popular_category_by_country.sql");
    let explained = |ties: &str, top: Datum| {
        let parameters = QuestionParameters::from([("ties".to_owned(), Datum::text(ties)), ("top".to_owned(), top)]);
        bind_question("test", text, &POSTS, &parameters).expect("a plan").explain(&POSTS)
    };
    assert!(explained("all", Datum::Long(2)).contains("Filter dense_rank() <= 2"));
    assert!(explained("first", Datum::Long(2)).contains("Filter row_number() <= 2"));
    let all = explained("all", Datum::Null);
    assert!(!all.contains("rank") && !all.contains("row_number() "), "{all}");
}

#[test]
fn hidden_columns_hold_what_only_the_order_reads() {
    let question = bound("SELECT category FROM pin GROUP BY category ORDER BY count(*) DESC, max(title)");
    assert_eq!(question.columns.len(), 1);
    assert_eq!(question.plan.types(), [SqlType::Text, SqlType::Long, SqlType::Text]);
    let keys: Vec<(usize, bool)> = question.listing.iter().map(|key| (key.column, key.descending)).collect();
    assert_eq!(keys, [(1, true), (2, false)]);
}

#[test]
fn columns_without_a_name_of_their_own_have_different_names() {
    let names = |text: &str| -> Vec<String> { bound(text).columns.into_iter().map(|column| column.name).collect() };
    let text = "SELECT age % 7, age // 7, age / 7, age AS age_7_2, upper(user_name), UPPER(user_name) FROM user";
    assert_eq!(names(text), ["age_7", "age_7_3", "age_7_4", "age_7_2", "upper_user_name", "upper_user_name_2"]);
    assert!(bind("SELECT ind, ind FROM user").is_err());
}

#[test]
fn every_example_of_the_functions_page_is_a_question() {
    let functions = pinflow_sql::functions::catalog().iter().flat_map(|group| group.functions).map(|spec| spec.example);
    let forms = pinflow_sql::calls::special_forms().iter().map(|form| form.example);
    let refused = functions.chain(forms).filter_map(|(call, _)| {
        let text = format!("SELECT ({call}) IS NULL AS x FROM pin");
        bind(&text).err().map(|error| error.to_string())
    });
    assert_eq!(refused.collect::<Vec<_>>(), Vec::<String>::new());
}
