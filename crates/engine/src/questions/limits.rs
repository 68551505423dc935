//! What a question may hold.

use pinflow_dataflows::graph::QuestionUsage;

use crate::QuestionLimits;

/// The limit that a question exceeds, given what all workers hold of it, and what to do. `None` if it keeps these limits.
/// The rows of its answer are not known to the workers.
pub(super) fn exceeded_limit(limits: &QuestionLimits, usage: &QuestionUsage) -> Option<String> {
    let checked = [
        ("groups", usage.groups, "groups_max", limits.groups_max),
        ("bytes", usage.bytes, "bytes_max", limits.bytes_max),
        ("text values", usage.texts, "texts_max", limits.texts_max),
    ];
    let over = checked.into_iter().find(|(_, held, _, max)| held > max);
    over.map(|(what, held, key, max)| describe_excess(what, held, key, max))
}

/// Says that an answer has more rows than it may.
pub(super) fn exceeded_rows(rows: u64, limits: &QuestionLimits) -> String {
    describe_excess("rows in its answer", rows, "rows_max", limits.rows_max)
}

fn describe_excess(what: &str, held: u64, key: &str, max: u64) -> String {
    format!(
        "it holds {held} {what}, and [questions] {key} is {max}; narrow it, for example with WHERE or LIMIT, or raise {key}"
    )
}
