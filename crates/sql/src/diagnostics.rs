//! What is wrong with the text of a question: where, why, and what would work instead.

use std::fmt;

/// A part of a question's text: from a line and column, both from 1, over a number of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextSpan {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
    /// The number of characters, at least 1. A span never goes beyond its line.
    pub width: usize,
}

/// One problem of a question's text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuestionProblem {
    /// The place of the word that caused it. `None` if the whole question did.
    pub span: Option<TextSpan>,
    /// What is wrong, and what would work instead: one sentence without a full stop.
    pub message: String,
}

/// All problems of a question's text, by their places.
///
/// Displayed as a compiler does it:
///
/// ```text
/// growth: 2 problems
///   2:7   there is no column `follower_cnt`; pin has `follower_count`
///       2 | WHERE follower_cnt > 3
///                 ^^^^^^^^^^^^
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionError {
    /// The question's name, or the name of its file.
    pub question: String,
    /// The problems: at least one.
    pub problems: Vec<QuestionProblem>,
    /// The question's text.
    pub text: String,
}

impl QuestionError {
    /// The problems of a question. They are put in the order of their places; repeated ones are left out.
    #[must_use]
    pub fn new(question: &str, text: &str, mut problems: Vec<QuestionProblem>) -> QuestionError {
        problems.sort();
        problems.dedup();
        QuestionError { question: question.to_owned(), problems, text: text.to_owned() }
    }
}

impl fmt::Display for QuestionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{}: {count} problem{}", self.question, if count == 1 { "" } else { "s" })?;
        for QuestionProblem { span, message } in self.problems.iter().take(SHOWN_PROBLEMS) {
            let Some(TextSpan { line, column, width }) = *span else {
                write!(f, "\n  {message}")?;
                continue;
            };
            let place = format!("{line}:{column}");
            write!(f, "\n  {place:<5} {message}")?;
            if let Some(text) = self.text.lines().nth(line - 1) {
                let (text, column, width) = shown_part(text, column, width);
                let number = line.to_string();
                let indent = " ".repeat(9 + number.len().saturating_sub(1) + column);
                write!(f, "\n      {number} | {text}\n{indent}{}", "^".repeat(width))?;
            }
        }
        match count.saturating_sub(SHOWN_PROBLEMS) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// How many problems are shown.
const SHOWN_PROBLEMS: usize = 50;
/// How many characters of a line are shown.
const SHOWN_WIDTH: usize = 400;

/// The line, or the part of a long one around a place, with the place within it.
fn shown_part(line: &str, column: usize, width: usize) -> (String, usize, usize) {
    let count = line.chars().count();
    // A tab would move the marks.
    let shown = |letter: char| if letter == '\t' { ' ' } else { letter };
    if count <= SHOWN_WIDTH {
        return (line.chars().map(shown).collect(), column, width);
    }
    let first = (column - 1).saturating_sub(SHOWN_WIDTH / 4).min(count - SHOWN_WIDTH);
    let part: String = line.chars().skip(first).take(SHOWN_WIDTH).map(shown).collect();
    let (before, after) = (if first > 0 { "…" } else { "" }, if first + SHOWN_WIDTH < count { "…" } else { "" });
    let column = column - first + before.chars().count();
    (format!("{before}{part}{after}"), column, width.min(SHOWN_WIDTH + 2 - column.min(SHOWN_WIDTH + 1)))
}

impl std::error::Error for QuestionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_of_a_long_line_around_the_place_is_shown() {
        let text = format!("{}here{}", "a".repeat(5_000), "b".repeat(5_000));
        let span = Some(TextSpan { line: 1, column: 5_001, width: 4 });
        let message = QuestionError::new("long", &text, vec![QuestionProblem { span, message: "no".to_owned() }]);
        let message = message.to_string();
        let lines: Vec<&str> = message.lines().collect();
        assert!(message.len() < 1_000 && lines[2].ends_with('…'), "{message}");
        let place = lines[3].find('^').expect("a mark");
        assert_eq!(lines[2].chars().skip(place).take(4).collect::<String>(), "here");
        assert!(lines[3].ends_with("    ^^^^"));
    }

    #[test]
    fn many_problems_are_counted_and_not_all_shown() {
        let problem =
            |column| QuestionProblem { span: Some(TextSpan { line: 1, column, width: 1 }), message: "no".into() };
        let error = QuestionError::new("many", "SELECT", (1..=1_000).map(problem).collect());
        assert!(error.to_string().starts_with("many: 1000 problems") && error.to_string().ends_with("and 950 more"));
    }

    #[test]
    fn problems_are_marked_under_the_word_that_caused_them() {
        let problem = |line, column, width, message: &str| QuestionProblem {
            span: Some(TextSpan { line, column, width }),
            message: message.to_owned(),
        };
        let text = "SELECT count(*)\nFROM pin WHERE followers > 3";
        let second = problem(2, 16, 9, "there is no column `followers`");
        let error = QuestionError::new("growth", text, vec![second.clone(), second]);
        let expected = "growth: 1 problem\n  2:16  there is no column `followers`\n      2 | FROM pin WHERE followers > 3\n                         ^^^^^^^^^";
        assert_eq!(error.to_string(), expected);
    }
}
