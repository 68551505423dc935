//! Mutated texts of questions: see [`question_check`]. `fuzz/fuzz_targets/question.rs` does the same with a coverage-guided
//! fuzzer, for hours.

mod query_generator;
mod question_check;

use std::time::{Duration, Instant};

use query_generator::{RandomChoices, random_query};
use question_check::{TextOutcome, check_question};

/// Texts that are mutated by default; `PINFLOW_SQL_TEXTS` is another number. `PINFLOW_SQL_TEXTS_SECS` goes on with others
/// for so long.
const TEXTS: u64 = if cfg!(debug_assertions) { 1_500 } else { 30_000 };

/// What is put into texts beside the words of other texts.
const ODD_WORDS: [&str; 42] = [
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999999999",
    "1e308",
    "1e-320",
    "0x7f",
    "1e99999",
    "''",
    "'\u{0}'",
    "'ﬀİ\u{301}🦀'",
    "\u{feff}",
    "\u{202e}",
    "ſ",
    "'%_%_%'",
    "'(a*)*b'",
    "'[[:alpha:'",
    "NULL",
    "repeat('a', 1000000)",
    "list_value(1, NULL)",
    "string_split(repeat(',', 1000000), ',')",
    "INTERVAL '9999999999 years'",
    "TIMESTAMP '9999-12-31 23:59:59.999999'",
    "DATE '0000-02-30'",
    "OVER ()",
    "OVER (ORDER BY ind ROWS BETWEEN 9223372036854775807 FOLLOWING AND 1 PRECEDING)",
    "GROUP BY CUBE (ind, ind, ind)",
    "QUALIFY row_number() OVER (ORDER BY 1) < 2",
    "DISTINCT",
    "ALL",
    "NOT",
    "EXISTS (SELECT 1)",
    "IN (SELECT ind FROM geo)",
    "(SELECT max(age) FROM user)",
    "UNION ALL SELECT 1",
    "LIMIT 0",
    "OFFSET 18446744073709551615",
    "> ALL (SELECT follower_count FROM pin)",
    "<> ANY (SELECT age FROM user WHERE user.ind = pin.ind)",
    "corr(ind, follower_count)",
    "regr_slope(age, ind) OVER (ORDER BY ind)",
    "lag(ind, 2) IGNORE NULLS OVER (ORDER BY ind)",
    ", LATERAL (SELECT unnest(split(tag_list, ',')) AS t) AS l",
];

/// Random choices from a seed (splitmix64).
struct TextDraws(u64);

impl TextDraws {
    fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next_bits() % bound.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// The questions of the other tests.
fn written_texts() -> Vec<String> {
    let files = [include_str!("fixed_queries.sql"), include_str!("binder/wrong_queries.txt")];
    let paragraphs = files.iter().flat_map(|file| file.split("\n\n"));
    let mut texts: Vec<String> = paragraphs.map(str::to_owned).collect();
    texts.push(include_str!("../../../dataflows/src/questions/popular_category_by_age_group.sql").to_owned());
    texts.push(include_str!("../../../dataflows/src/questions/median_followers_by_join_year.sql").to_owned());
    texts
}

/// The words of a text, with the spaces between them.
fn split_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let is_word = |letter: char| letter.is_alphanumeric() || "_'.\"".contains(letter);
    for letter in text.chars() {
        match words.last_mut() {
            Some(last) if is_word(letter) && last.chars().all(is_word) => last.push(letter),
            _ => words.push(letter.to_string()),
        }
    }
    words
}

fn mutate(draws: &mut TextDraws, words: &mut Vec<String>, others: &[String]) {
    let at = draws.below(words.len());
    match draws.below(8) {
        0 => drop(words.splice(at..(at + 1).min(words.len()), [])),
        1 => words.insert(at, format!(" {} ", draws.pick(&ODD_WORDS))),
        2 | 3 if !words.is_empty() => words[at] = format!(" {} ", draws.pick(&ODD_WORDS)),
        4 if !words.is_empty() => {
            let other = draws.below(words.len());
            words.swap(at, other);
        }
        5 => {
            // A part of another text.
            let other = split_words(draws.pick::<String>(others));
            let start = draws.below(other.len());
            let end = (start + 1 + draws.below(12)).min(other.len());
            words.splice(at..at, other[start.min(end)..end].iter().cloned());
        }
        6 if !words.is_empty() => {
            let other = split_words(draws.pick::<String>(others));
            words[at] = other.get(draws.below(other.len())).cloned().unwrap_or_default();
        }
        _ => {
            // A part again, a few times.
            let end = (at + 1 + draws.below(6)).min(words.len());
            let part = words[at.min(end)..end].to_vec();
            (0..draws.below(4)).for_each(|_| drop(words.splice(end..end, part.clone())));
        }
    }
}

#[test]
fn mutated_texts_are_refused_or_have_the_answer_of_the_naive_evaluator() {
    let texts = std::env::var("PINFLOW_SQL_TEXTS").ok().and_then(|count| count.parse().ok()).unwrap_or(TEXTS);
    let start = std::env::var("PINFLOW_SQL_TEXTS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let mut written = written_texts();
    for seed in 0..64 {
        let mut draws = TextDraws(seed);
        let numbers = (0..300).map(|_| draws.next_bits() as u32).collect();
        written.push(random_query(&mut RandomChoices::new(numbers)).pinflow_sql());
    }
    let number_of = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let until = number_of("PINFLOW_SQL_TEXTS_SECS").map(|secs| Instant::now() + Duration::from_secs(secs));
    let (mut compared, mut texts_checked) = (0, 0);
    for seed in start.. {
        if texts_checked >= texts && until.is_none_or(|until| Instant::now() >= until) {
            break;
        }
        texts_checked += 1;
        let mut draws = TextDraws(seed ^ 0x5eed);
        let mut words = split_words(draws.pick::<String>(&written));
        (0..draws.below(4)).for_each(|_| mutate(&mut draws, &mut words, &written));
        let text = words.concat();
        if std::env::var_os("PINFLOW_SQL_PRINT").is_some() {
            eprintln!("{seed}: {text}");
        }
        compared += u64::from(check_question(&text) == TextOutcome::Compared);
    }
    assert!(compared > texts / 20, "only {compared} of {texts_checked} texts were bound and compared");
}

/// Texts that grow with `size`: none may take more work than its length explains.
fn growing_texts(size: usize) -> Vec<String> {
    let list = |item: &str| vec![item; size].join(", ");
    let doubled = |first: &str, next: &str, last: &str| {
        let steps: Vec<String> = (1..size.min(200))
            .map(|step| format!("t{step} AS ({})", next.replace('#', &format!("t{}", step - 1))))
            .collect();
        format!("WITH t0 AS ({first}), {} {}", steps.join(", "), last.replace('#', &format!("t{}", size.min(200) - 1)))
    };
    vec![
        format!("SELECT {} FROM pin", list("1")),
        format!("SELECT {} FROM pin", list("follower_cnt")),
        format!("SELECT {} FROM pin", list("now()")),
        format!("SELECT ind FROM pin WHERE ind IN ({})", list("ind + 7")),
        format!("SELECT ind FROM pin WHERE title IN ({})", list("'x'")),
        format!("SELECT count(*) FROM pin GROUP BY {}", list("ind")),
        format!("SELECT count(*) FROM pin GROUP BY CUBE ({})", list("ind")),
        format!("SELECT count(*) FROM pin GROUP BY {}", list("ROLLUP (ind, title)")),
        format!("SELECT count(*) FROM pin ORDER BY {}", list("1")),
        format!("SELECT coalesce({}) AS x FROM pin", list("title")),
        format!("SELECT concat({}) AS x FROM pin", list("repeat(title, 1000)")),
        format!("SELECT CASE {} END AS x FROM pin", vec!["WHEN ind = 1 THEN 2"; size].join(" ")),
        format!("SELECT ind FROM pin WHERE {}", vec!["ind = 1"; size].join(" OR ")),
        format!("SELECT ind FROM pin WHERE {}", vec!["(ind = 1 OR age = 2)"; size].join(" AND ")),
        format!("SELECT {} AS x FROM pin", vec!["ind"; size].join(" + ")),
        format!("SELECT {} AS x FROM pin", vec!["title"; size].join(" || ")),
        format!("SELECT 1 AS x FROM {}", list("pin")),
        format!("SELECT 1 AS x FROM pin {}", "JOIN geo USING (ind) ".repeat(size)),
        format!("SELECT 1 AS x FROM pin {}", "NATURAL JOIN pin ".repeat(size)),
        format!("SELECT 1 AS x {}", "UNION ALL SELECT 1 ".repeat(size)),
        format!("SELECT 1 AS x {}", "UNION SELECT ind FROM pin ".repeat(size)),
        format!("SELECT ind FROM pin WHERE {}", vec!["ind IN (SELECT ind FROM geo)"; size].join(" AND ")),
        format!("SELECT {} AS x", vec!["(SELECT max(age) FROM user)"; size].join(" + ")),
        format!("SELECT {} FROM pin", list("sum(ind) OVER (ORDER BY ind)")),
        format!("SELECT ind FROM pin WHERE {}", vec!["ind > ALL (SELECT ind FROM geo)"; size].join(" AND ")),
        format!("SELECT ind FROM pin WHERE {}", vec!["ind <> ANY (SELECT age FROM user)"; size].join(" OR ")),
        format!("SELECT {} FROM pin", list("corr(ind, follower_count)")),
        format!("SELECT {} FROM pin", list("lag(ind) IGNORE NULLS OVER (ORDER BY ind)")),
        format!("SELECT 1 AS x FROM pin {}", ", LATERAL (SELECT unnest(split(tag_list, ',')) AS t)".repeat(size)),
        doubled("SELECT ind AS x FROM pin", "SELECT x + x AS x FROM #", "SELECT x FROM #"),
        doubled("SELECT 1 AS x", "SELECT x + x AS x FROM #", "SELECT x FROM #"),
        doubled("SELECT 'abc' AS x", "SELECT x || x AS x FROM #", "SELECT x FROM #"),
        doubled("SELECT ind > 1 AS x FROM pin", "SELECT x AND x OR NOT x AS x FROM #", "SELECT 1 AS y FROM # WHERE x"),
        doubled("SELECT ['a', 'b'] AS x", "SELECT list_concat(x, x) AS x FROM #", "SELECT len(x) AS x FROM #"),
        doubled("SELECT ind FROM pin", "SELECT ind FROM # UNION ALL SELECT ind FROM #", "SELECT ind FROM #"),
        doubled("SELECT ind FROM pin", "SELECT ind FROM # JOIN # AS o USING (ind)", "SELECT ind FROM #"),
        doubled("SELECT ind FROM pin", "SELECT ind FROM # WHERE ind IN (SELECT ind FROM #)", "SELECT ind FROM #"),
        doubled("SELECT ind FROM pin", "SELECT ind FROM # GROUP BY ROLLUP (ind)", "SELECT ind FROM #"),
        doubled("SELECT ind AS x FROM pin", "SELECT CASE WHEN x > 1 THEN x ELSE x END AS x FROM #", "SELECT x FROM #"),
        format!("SELECT title LIKE repeat('_a%', {size}) AS x FROM pin"),
        format!("SELECT repeat('ab', {size}000) LIKE '%' || repeat('a_', {size}) || 'x' AS x FROM pin"),
        format!("SELECT length(trim(repeat('ab', {size}000), repeat('cb', {size}000) || 'a')) AS x FROM pin"),
        format!("SELECT length(translate(repeat('a', {size}000), repeat('b', {size}000), 'x')) AS x FROM pin"),
        format!("SELECT len(string_split(repeat('a', {size}000), '')) AS x FROM pin"),
        format!("SELECT array_to_string([{}], 'x') AS x FROM pin", list("repeat('a', 1000000)")),
        format!("SELECT regexp_replace(repeat('a', {size}), '(a*)*', 'b', 'g') AS x FROM pin"),
        format!("SELECT 1 AS x FROM pin WHERE title = '{}'", "é".repeat(size)),
        format!("SELECT 1 AS \"{}\" FROM pin", "ß".repeat(size)),
        format!("SELECT {}1 AS x", "/* ".repeat(size)),
        "\n".repeat(size),
    ]
}

#[test]
fn growing_texts_are_bound_or_refused() {
    for size in [3, 1_000, 9_000] {
        for text in growing_texts(size) {
            check_question(&text);
        }
    }
}
