//! Compares the rows of an answer with those computed from the tables.

use std::collections::BTreeMap;

/// What was found about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VerifiedAnswer {
    /// Its name.
    pub(super) answer: String,
    /// Whether it is right.
    pub(super) verdict: AnswerVerdict,
}

impl VerifiedAnswer {
    /// An answer that was not compared.
    pub(super) fn skipped(answer: &str, reason: String) -> VerifiedAnswer {
        VerifiedAnswer { answer: answer.to_owned(), verdict: AnswerVerdict::Skipped { reason } }
    }
}

/// Whether an answer is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AnswerVerdict {
    /// It was compared.
    Compared(RowComparison),
    /// It could not be compared.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// How the rows of an answer compare with those computed from the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RowComparison {
    /// The number of rows that the run has shown.
    pub(super) rows: usize,
    /// The number of rows computed from the tables.
    pub(super) rows_computed: usize,
    /// The number of computed rows that the answer lacks.
    pub(super) missing: usize,
    /// The number of rows of the answer that were not computed.
    pub(super) extra: usize,
    /// The first of the missing rows, in the order of the answer.
    pub(super) first_missing: Vec<String>,
    /// The first of the extra rows.
    pub(super) first_extra: Vec<String>,
    /// Whether the same rows are in another order.
    pub(super) is_reordered: bool,
}

impl RowComparison {
    /// Whether the answer has the computed rows in their order.
    pub(super) fn is_equal(&self) -> bool {
        self.missing == 0 && self.extra == 0 && !self.is_reordered
    }
}

/// Compares rows. At most `shown` rows of each kind of difference are kept.
pub(super) fn compare_rows(computed: &[String], served: &[String], shown: usize) -> RowComparison {
    let comparison = RowComparison { rows: served.len(), rows_computed: computed.len(), ..RowComparison::default() };
    if computed == served {
        return comparison;
    }
    let (missing, extra) = (rows_without_match(computed, served), rows_without_match(served, computed));
    let first = |rows: &[&String]| rows.iter().take(shown).map(|row| (*row).clone()).collect();
    RowComparison {
        is_reordered: missing.is_empty() && extra.is_empty(),
        first_missing: first(&missing),
        first_extra: first(&extra),
        missing: missing.len(),
        extra: extra.len(),
        ..comparison
    }
}

/// The rows that are more often in `rows` than in `others`, as often as they are.
fn rows_without_match<'a>(rows: &'a [String], others: &[String]) -> Vec<&'a String> {
    let mut unmatched: BTreeMap<&str, usize> = BTreeMap::new();
    for other in others {
        *unmatched.entry(other).or_default() += 1;
    }
    let is_alone = |row: &&String| match unmatched.get_mut(row.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    rows.iter().filter(is_alone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &str) -> Vec<String> {
        texts.chars().map(String::from).collect()
    }

    #[test]
    fn differing_rows_are_counted_with_their_repeats_and_the_first_ones_are_kept() {
        let compared = compare_rows(&rows("aabcd"), &rows("abbx"), 2);
        assert_eq!((compared.rows_computed, compared.rows), (5, 4));
        assert_eq!((compared.missing, compared.first_missing), (3, rows("ac")));
        assert_eq!((compared.extra, compared.first_extra), (2, rows("bx")));
        assert!(!compared.is_reordered);
    }

    #[test]
    fn only_equal_rows_in_the_same_order_are_equal() {
        assert!(compare_rows(&rows("aab"), &rows("aab"), 5).is_equal());
        let reordered = compare_rows(&rows("aab"), &rows("aba"), 5);
        assert!(reordered.is_reordered && !reordered.is_equal() && reordered.missing == 0);
        assert!(!compare_rows(&rows("a"), &[], 5).is_equal());
    }
}
