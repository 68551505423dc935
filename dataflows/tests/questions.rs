//! Checks of all questions: names, files and columns.

mod oracle;

use oracle::SqlOracle;
use pinflow_dataflows::questions::QuestionSet;

#[test]
fn sql_returns_declared_columns_in_order() {
    let oracle = SqlOracle::default();
    for (_, question) in QuestionSet::built_in().iter() {
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
    let names: Vec<_> = QuestionSet::built_in().names().map(ToString::to_string).collect();
    assert_eq!(names, files);
    for name in names {
        assert!(std::path::Path::new(folder).join(format!("{name}.rs")).exists(), "{name}");
    }
}

/// The names and columns in the specification.
#[test]
fn answers_have_the_specified_names_and_columns() {
    let contract = [
        "country_with_most_followed_poster: country, follower_count",
        "median_followers_by_age_group: age_group, median_follower_count",
        "median_followers_by_join_year: post_year, median_follower_count",
        "median_followers_by_join_year_and_age_group: age_group, post_year, median_follower_count",
        "most_followed_poster_by_country: country, poster_name, follower_count",
        "most_followed_user_by_country: country, user_name, follower_count",
        "popular_category_by_age_group: age_group, category, category_count",
        "popular_category_by_country: country, category, category_count",
        "popular_category_by_year: post_year, category, category_count",
        "user_names_joined_by_year: post_year, number_users_joined",
        "users_joined_by_year: post_year, number_users_joined",
    ];
    for line in contract {
        let (name, columns) = line.split_once(": ").expect("a name");
        let questions = QuestionSet::built_in();
        let (_, question) = questions.find(name).expect(name);
        let declared: Vec<_> = question.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(declared.join(", "), columns, "{name}");
    }
}
