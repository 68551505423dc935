//! Checks of all questions: names, files and columns.

mod oracle;

use oracle::SqlOracle;
use pinflow_dataflows::graph::{GraphOptions, MedianMethod, RankLimit, TieRule};
use pinflow_dataflows::questions::{QuestionPath, QuestionSet};

#[test]
fn sql_returns_declared_columns_in_order() {
    let oracle = SqlOracle::default();
    for (_, question) in QuestionSet::built_in(GraphOptions::default()).iter() {
        let declared: Vec<_> = question.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(oracle.columns(question), declared, "{}", question.name);
    }
}

#[test]
fn every_question_file_is_listed_under_its_name() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/questions");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of questions")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
        .filter_map(|file| file.strip_suffix(".sql").map(str::to_owned))
        .collect();
    files.sort();
    let names: Vec<_> = QuestionSet::built_in(GraphOptions::default()).names().map(ToString::to_string).collect();
    assert_eq!(names, files);
}

/// The names and columns in the specification.
#[test]
fn answers_have_the_specified_names_and_columns() {
    let contract = [
        "country_with_most_followed_poster: country Text, follower_count Long",
        "median_followers_by_age_group: age_group Text, median_follower_count Double",
        "median_followers_by_join_year: post_year Long, median_follower_count Double",
        "median_followers_by_join_year_and_age_group: age_group Text, post_year Long, median_follower_count Double",
        "most_followed_poster_by_country: country Text, poster_name Text, follower_count Long",
        "most_followed_user_by_country: country Text, user_name Text, follower_count Long",
        "popular_category_by_age_group: age_group Text, category Text, category_count Long",
        "popular_category_by_country: country Text, category Text, category_count Long",
        "popular_category_by_year: post_year Long, category Text, category_count Long",
        "user_names_joined_by_year: post_year Long, number_users_joined Long",
        "users_joined_by_year: post_year Long, number_users_joined Long",
    ];
    for line in contract {
        let (name, columns) = line.split_once(": ").expect("a name");
        let questions = QuestionSet::built_in(GraphOptions::default());
        let (_, question) = questions.find(name).expect(name);
        let declared: Vec<_> =
            question.columns().iter().map(|column| format!("{} {:?}", column.name, column.kind)).collect();
        assert_eq!(declared.join(", "), columns, "{name}");
        assert!(question.columns().iter().all(|column| !column.nullable), "{name}: no column can be null");
    }
}

#[test]
fn built_in_questions_run_on_the_fast_path_with_all_options() {
    for ties in [TieRule::First, TieRule::All] {
        for top in [RankLimit::default(), RankLimit::All] {
            for median in [MedianMethod::Exact, MedianMethod::Lower] {
                let options = GraphOptions { ties, top, median, ..GraphOptions::default() };
                for (_, question) in QuestionSet::built_in(options).iter() {
                    assert!(matches!(question.path, QuestionPath::Compact(_)), "{} {options:?}", question.name);
                }
            }
        }
    }
}
