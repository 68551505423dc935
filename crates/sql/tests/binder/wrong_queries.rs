//! The messages for wrong questions: `wrong_queries.txt` has texts with the places and messages of their problems.
//!
//! A text ends at a line that starts with `!`. Each such line is a problem: `!line:column+width message`, or
//! `!whole message` for one of the whole question.

use pinflow_sql::diagnostics::QuestionProblem;

use super::bind;

const CASES: &str = include_str!("wrong_queries.txt");

/// The problems of a text, as the file has them.
fn problems(text: &str) -> String {
    let Err(error) = bind(text) else { return "!none\n".to_owned() };
    let line = |problem: &QuestionProblem| match problem.span {
        Some(span) => format!("!{}:{}+{} {}\n", span.line, span.column, span.width, problem.message),
        None => format!("!whole {}\n", problem.message),
    };
    error.problems.iter().map(line).collect()
}

/// The texts of the file, each with its problems.
fn cases() -> Vec<(String, String)> {
    let mut cases: Vec<(String, String)> = Vec::new();
    let mut text = String::new();
    for line in CASES.lines() {
        if !line.starts_with('!') {
            text.push_str(line);
            text.push('\n');
            continue;
        }
        if !text.trim().is_empty() {
            cases.push((text.trim().to_owned(), String::new()));
            text.clear();
        }
        let (_, expected) = cases.last_mut().expect("the file starts with a text");
        expected.push_str(line);
        expected.push('\n');
    }
    cases
}

#[test]
fn wrong_questions_get_the_expected_problems_at_their_places() {
    let cases = cases();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let mut different = String::new();
    for (text, expected) in cases {
        let found = problems(&text);
        if found != expected {
            different.push_str(&format!("{text}\n{found}expected\n{expected}\n"));
        }
    }
    assert!(different.is_empty(), "\n{different}");
}

#[test]
fn problems_are_within_the_lines_of_the_text() {
    for (text, _) in cases() {
        let Err(error) = bind(&text) else { continue };
        for span in error.problems.iter().filter_map(|problem| problem.span) {
            let line = text.lines().nth(span.line - 1).expect("the line exists");
            assert!(span.column + span.width - 1 <= line.chars().count().max(1), "{span:?} is beyond the line\n{text}");
        }
    }
}

#[test]
fn too_long_and_too_deep_questions_are_refused_with_the_limit() {
    let deep = format!("SELECT {}ind{} AS x FROM pin", "(".repeat(40), ")".repeat(40));
    let chain = format!("SELECT {} AS x FROM pin", vec!["ind"; 400].join(" + "));
    let long = format!("SELECT ind FROM pin WHERE category = '{}'", "x".repeat(70_000));
    let unions = vec!["SELECT ind FROM pin"; 400].join(" UNION ALL ");
    for (text, words) in [
        (deep, "nested too deeply"),
        (chain, "operators in a row"),
        (long, "65536 bytes"),
        (unions, "nested too deeply"),
    ] {
        let message = problems(&text);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn questions_that_would_grow_without_bound_are_refused() {
    let mut doubled = String::from("WITH a0 AS (SELECT ind FROM pin)");
    for level in 1..20 {
        let below = level - 1;
        doubled.push_str(&format!(", a{level} AS (SELECT x.ind FROM a{below} x JOIN a{below} y ON x.ind = y.ind)"));
    }
    assert!(problems(&format!("{doubled} SELECT ind FROM a19")).contains("too large"));
    let sums: Vec<String> = (1..40).map(|level| format!("x{} + x{} AS x{level}", level - 1, level - 1)).collect();
    assert!(problems(&format!("SELECT ind AS x0, {} FROM pin", sums.join(", "))).contains("too large"));
}

#[test]
fn conditions_of_a_thousand_terms_are_no_problem() {
    let terms: Vec<String> = (0..1000).map(|index| format!("ind = {index}")).collect();
    bind(&format!("SELECT ind FROM pin WHERE {}", terms.join(" OR "))).expect("a plan");
}
