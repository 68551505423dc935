//! Any text is bound or refused: nothing panics, and nothing takes long.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::bind;
use super::sqlite::case_count;

/// The longest that a text may take. Tests run without optimisation, several at a time; what grows without bound takes
/// far longer.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Binds a text, and looks at the result as a user would.
fn try_text(text: &str) {
    let start = Instant::now();
    match bind(text) {
        Ok(question) => {
            assert!(!question.columns.is_empty(), "{text}");
            assert!(question.explain(&pinflow_sql::catalog::POSTS).len() < 10_000_000, "{text}");
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "{text}");
            // The last check of a plan is there in case that one before it was forgotten.
            assert!(!error.to_string().contains("do not fit together"), "{text}");
        }
    }
    assert!(start.elapsed() < TIME_LIMIT, "{:?} for\n{text}", start.elapsed());
}

/// Words that questions are made of.
const WORDS: [&str; 96] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT",
    "FULL",
    "ON",
    "USING",
    "UNION",
    "ALL",
    "WITH",
    "AS",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "AND",
    "OR",
    "NOT",
    "IN",
    "EXISTS",
    "BETWEEN",
    "LIKE",
    "IS",
    "NULL",
    "DISTINCT",
    "OVER",
    "PARTITION",
    "ROWS",
    "FILTER",
    "WITHIN",
    "INTERVAL",
    "CAST",
    "QUALIFY",
    "(",
    "(",
    "(",
    ")",
    ")",
    ")",
    ",",
    ",",
    ".",
    "*",
    "+",
    "-",
    "/",
    "||",
    "=",
    "<",
    ">=",
    "::",
    "[",
    "]",
    ";",
    "'a'",
    "1",
    "2.5",
    "$top",
    "pin",
    "geo",
    "user",
    "ind",
    "category",
    "follower_count",
    "country",
    "timestamp",
    "age",
    "t",
    "x",
    "count",
    "sum",
    "median",
    "unnest",
    "split",
    "year",
    "date_trunc",
    "row_number",
    "lag",
    "string_agg",
    "DAY",
    "DATE",
    "EXCEPT",
    "VALUES",
    "ROLLUP",
    "CROSS",
    "LATERAL",
    "\"q\"",
    "TRUE",
];

/// Good questions, to be damaged.
const SEEDS: [&str; 8] = [
    include_str!("../../../../dataflows/src/questions/popular_category_by_age_group.sql"),
    include_str!("../../../../dataflows/src/questions/median_followers_by_join_year.sql"),
    "SELECT p.category, (SELECT count(*) FROM geo WHERE geo.ind = p.ind) AS n FROM pin p WHERE p.ind NOT IN (SELECT ind FROM user WHERE age > 3) ORDER BY n DESC LIMIT 3",
    "SELECT tag, count(*) FILTER (WHERE x > 1) AS n FROM (SELECT trim(unnest(split(tag_list, ','))) AS tag, 1 AS x FROM pin) GROUP BY ROLLUP(tag)",
    "WITH a AS (SELECT * FROM pin JOIN geo USING (ind)) SELECT country, sum(follower_count) OVER (PARTITION BY country ORDER BY ind ROWS 2 PRECEDING) AS s FROM a UNION ALL SELECT 'x', 1",
    "SELECT CASE WHEN age BETWEEN 1 AND 3 THEN 'a' WHEN age IS NULL THEN NULL ELSE upper(user_name) END AS g, percentile_cont(0.5) WITHIN GROUP (ORDER BY age) AS m FROM user GROUP BY 1 HAVING count(*) > 1",
    "SELECT date_trunc('day', timestamp + INTERVAL '1 day') AS d, coordinates[1]::bigint AS c FROM geo WHERE timestamp >= DATE '2020-01-01' QUALIFY row_number() OVER w = 1 WINDOW w AS (ORDER BY ind)",
    "SELECT DISTINCT ON (category) category, title FROM pin LEFT JOIN geo ON geo.ind = pin.ind AND geo.country LIKE 'a%' WHERE EXISTS (SELECT 1 FROM user u WHERE u.ind = pin.ind) ORDER BY category, 2 DESC",
];

/// A change of the words of a text.
#[derive(Debug, Clone)]
enum TextDamage {
    Remove(prop::sample::Index),
    Double(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Replace(prop::sample::Index, usize),
}

fn arb_damage() -> impl Strategy<Value = TextDamage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        place().prop_map(TextDamage::Remove),
        place().prop_map(TextDamage::Double),
        (place(), place()).prop_map(|(one, other)| TextDamage::Swap(one, other)),
        (place(), 0..WORDS.len()).prop_map(|(at, word)| TextDamage::Replace(at, word)),
    ]
}

/// The words of a text; signs are words, too.
fn split_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n").chars() {
        let joins = letter.is_alphanumeric() || letter == '_' || letter == '\'';
        let last = words.len() - 1;
        if joins && words[last].chars().all(|known| known.is_alphanumeric() || known == '_' || known == '\'') {
            words[last].push(letter);
        } else {
            words.push(letter.to_string());
        }
    }
    words
}

fn damage(words: &mut Vec<String>, change: &TextDamage) {
    let count = words.len();
    match change {
        TextDamage::Remove(at) => drop(words.remove(at.index(count))),
        TextDamage::Double(at) => words.insert(at.index(count), words[at.index(count)].clone()),
        TextDamage::Swap(one, other) => words.swap(one.index(count), other.index(count)),
        TextDamage::Replace(at, word) => words[at.index(count)] = format!(" {} ", WORDS[*word]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: case_count(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_texts_are_bound_or_refused(text in ".{0,200}") {
        try_text(&text);
    }

    #[test]
    fn random_words_are_bound_or_refused(words in prop::collection::vec(0..WORDS.len(), 0..60)) {
        let words: Vec<&str> = words.into_iter().map(|word| WORDS[word]).collect();
        try_text(&words.join(" "));
        try_text(&format!("SELECT {} FROM pin", words.join(" ")));
    }

    #[test]
    fn damaged_questions_are_bound_or_refused(seed in 0..SEEDS.len(), changes in prop::collection::vec(arb_damage(), 1..6)) {
        let mut words = split_words(SEEDS[seed]);
        for change in &changes {
            if words.len() > 2 {
                damage(&mut words, change);
            }
        }
        try_text(&words.concat());
    }
}

#[test]
fn repeated_openings_do_not_take_long() {
    let openings = [
        "(",
        "SELECT * FROM (",
        "((",
        "[",
        "{",
        "CASE WHEN ",
        "NOT ",
        "- ",
        "f(",
        "ARRAY[",
        "SELECT ind FROM pin WHERE ind IN (",
        "CAST(",
        "EXISTS (",
        "INTERVAL ",
        "DATE ",
        "SELECT (",
        "a.",
        "x -> ",
        "WITH a AS (",
        "SELECT * FROM pin JOIN (",
        "~",
        "VALUES (",
        "ARRAY<",
        "STRUCT<",
        "MAP{",
        "TABLE(",
        "LATERAL (",
        "SELECT count(*) OVER (PARTITION BY ",
        "/*",
        "'",
        "\"",
        "$",
        "$$",
        "E'",
        "N'",
        "x::",
        "a[1]",
        "1 + ",
        "a AND ",
        "a IS NOT NULL ",
        "a BETWEEN 1 AND ",
        "UNION ",
        "SELECT ",
        "FROM ",
        "|> ",
        "CASE ",
        "SELECT * FROM pin, ",
        "((SELECT 1) UNION ",
        "a IN (",
        "f(DISTINCT ",
        "TRIM(BOTH ",
    ];
    for opening in openings {
        for count in [20, 30, 50, 200, 3000] {
            try_text(&opening.repeat(count));
            try_text(&format!("SELECT {}1", opening.repeat(count)));
            try_text(&format!("SELECT * FROM {}pin", opening.repeat(count)));
        }
    }
}

#[test]
fn too_large_questions_are_refused_with_the_limit() {
    let many = |text: &str, count: usize, separator: &str| vec![text; count].join(separator);
    let wide =
        (0..12).map(|level| format!("t{} AS (SELECT ind FROM t{level} UNION ALL SELECT ind FROM t{level})", level + 1));
    let wide = format!("WITH t0 AS (SELECT ind FROM pin), {} SELECT ind FROM t12", wide.collect::<Vec<_>>().join(", "));
    let cases = [
        (
            format!("SELECT 1 AS x FROM pin {}", many("JOIN geo USING (ind)", 60, " ")),
            "FROM joins 61 tables, and at most 50",
        ),
        (
            format!("SELECT ind FROM pin WHERE {}", many("ind IN (SELECT ind FROM geo)", 60, " AND ")),
            "at most 50 subqueries",
        ),
        (wide, "the question is too large"),
        (format!("SELECT 1 AS x{}", " ".repeat(70_000)), "at most 65536 bytes of text"),
    ];
    for (text, words) in cases {
        let message = bind(&text).expect_err("it is too large").to_string();
        assert!(message.contains(words), "{message}");
    }
}
