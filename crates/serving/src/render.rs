//! Renders answers as JSON Lines and as text tables.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerChange, AnswerColumn, AnswerRow};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionSet};
use serde::{Serialize, Serializer};

use super::AnswerView;
use super::screen::answer_grid;
use pinflow_core::position::Epoch;
use pinflow_engine::{QuestionPhase, QuestionState, SourceStatus};
use pinflow_terminal::sanitize_line;

/// Formats a timestamp as `2026-01-31T12:00:00.100Z`.
fn format_millis(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Serialises a timestamp with milliseconds.
pub(super) fn as_millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_millis(*at))
}

pub(super) fn as_millis_if_any<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => as_millis(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// One answer in a snapshot.
#[derive(Serialize)]
struct AnswerLine<'a> {
    answer: &'a str,
    epoch: Epoch,
    as_of: &'a str,
    rows: NamedRows<'a>,
}

pub(super) struct NamedRows<'a> {
    pub(super) columns: &'a [AnswerColumn],
    pub(super) rows: Vec<&'a AnswerRow>,
}

impl Serialize for NamedRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().map(|row| row.with_columns(self.columns)))
    }
}

/// The last line of a snapshot: the epoch and the source positions that it is as of.
#[derive(Serialize)]
struct CutLine<'a> {
    epoch: Epoch,
    as_of: &'a str,
    durable_epoch: Option<Epoch>,
    complete: bool,
    sources: &'a [SourceStatus],
}

/// One answer's changes in an epoch.
#[derive(Serialize)]
struct ChangeLine<'a> {
    answer: &'a str,
    epoch: Epoch,
    #[serde(serialize_with = "as_millis_if_any", skip_serializing_if = "Option::is_none")]
    as_of: Option<Timestamp>,
    insert: NamedRows<'a>,
    delete: NamedRows<'a>,
}

fn write_json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Writes all answers, then the epoch and positions that they are as of, as JSON Lines.
pub(super) fn write_snapshot(view: &AnswerView, out: &mut impl Write) -> io::Result<()> {
    let as_of = format_millis(view.as_of);
    for (question, table) in view.answers() {
        let rows = NamedRows { columns: question.columns(), rows: table.rows().collect() };
        write_json_line(out, &AnswerLine { answer: &question.name, epoch: view.epoch, as_of: &as_of, rows })?;
    }
    let AnswerView { epoch, durable_epoch, complete, .. } = *view;
    let cut = CutLine { epoch, as_of: &as_of, durable_epoch, complete, sources: &view.sources };
    write_json_line(out, &cut)
}

/// Writes the changes of one epoch, one JSON line for each changed answer.
pub(super) fn write_changes(
    epoch: Epoch,
    questions: &QuestionSet,
    changes: &[AnswerChange],
    out: &mut impl Write,
) -> io::Result<()> {
    for json in questions.iter().filter_map(|(id, question)| change_json(epoch, None, changes, (id, question))) {
        writeln!(out, "{json}")?;
    }
    Ok(())
}

/// The changes of one answer in an epoch as a JSON object. `None` if there are none. Without `as_of` equal changes give
/// equal text in every run.
pub(super) fn change_json(
    epoch: Epoch,
    as_of: Option<Timestamp>,
    changes: &[AnswerChange],
    (id, question): (QuestionId, &Question),
) -> Option<String> {
    let changed = visible_changes(changes, id, question);
    let of = |sign: i64| NamedRows {
        columns: question.columns(),
        rows: changed.iter().flat_map(|(row, diff)| repeat_row(row, diff.saturating_mul(sign))).collect(),
    };
    let (insert, delete) = (of(1), of(-1));
    if insert.rows.is_empty() && delete.rows.is_empty() {
        return None;
    }
    let line = ChangeLine { answer: &question.name, epoch, as_of, insert, delete };
    // Cannot fail: keys are strings and cells are numbers or strings.
    serde_json::to_string(&line).ok()
}

/// The changes of one answer, as far as they can be seen: rows that differ in hidden cells only are added up.
fn visible_changes<'a>(
    changes: &'a [AnswerChange],
    id: QuestionId,
    question: &Question,
) -> Vec<(Cow<'a, AnswerRow>, i64)> {
    let changes = changes.iter().filter(|change| change.answer == id);
    if question.schema.hidden() == 0 {
        return changes.map(|change| (Cow::Borrowed(&change.row), change.diff)).collect();
    }
    let mut net: BTreeMap<AnswerRow, i64> = BTreeMap::new();
    for change in changes {
        *net.entry(AnswerRow::new(change.row.visible(question.columns()))).or_default() += change.diff;
    }
    net.into_iter().filter(|(_, diff)| *diff != 0).map(|(row, diff)| (Cow::Owned(row), diff)).collect()
}

/// The row this many times; not at all if the number is negative.
fn repeat_row(row: &AnswerRow, count: i64) -> impl Iterator<Item = &AnswerRow> {
    std::iter::repeat_n(row, usize::try_from(count).unwrap_or_default())
}

/// Writes all answers as text tables, then the epoch and the positions of the sources.
pub(super) fn write_tables(view: &AnswerView, out: &mut impl Write) -> io::Result<()> {
    for (question, answer) in view.answers() {
        let grid = answer_grid(answer, usize::MAX).to_string();
        writeln!(out, "{}", question.name)?;
        // Columns are padded with blanks: remove those at the end of a line.
        grid.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))?;
        writeln!(out)?;
    }
    question_lines(view).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    writeln!(out, "{}", position_line(view))?;
    for source in view.sources.iter() {
        writeln!(
            out,
            "{}: next {}, {} read, {} written, {} rejected",
            sanitize_line(&source.source),
            source.position,
            source.read,
            source.written,
            source.rejected
        )?;
    }
    Ok(())
}

/// One line for each question that has no answer to show.
pub(super) fn question_lines(view: &AnswerView) -> Vec<String> {
    let line = |QuestionState { name, phase, .. }: &QuestionState| match phase {
        QuestionPhase::Waiting => format!("question {name} waits for another one"),
        QuestionPhase::Filling { done, total: 0 } => format!("question {name} is filling: {done} rows"),
        QuestionPhase::Filling { done, total } => {
            format!("question {name} is filling: {:.0} %", 100.0 * *done as f64 / *total as f64)
        }
        QuestionPhase::Stopped { reason, .. } => format!("question {name} was stopped: {}", sanitize_line(reason)),
    };
    view.question_states.iter().map(line).collect()
}

/// The epoch and time that answers are as of, as one line.
pub(super) fn position_line(view: &AnswerView) -> String {
    let durable = view.durable_epoch.map(|durable| format!(", durable epoch {durable}")).unwrap_or_default();
    format!("epoch {}, as of {}{durable}", view.epoch, format_millis(view.as_of))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use pinflow_dataflows::answer::{AnswerCell, AnswerSchema, ListingKey, bool_column, time_column};

    use pinflow_dataflows::graph::GraphOptions;

    use super::*;

    /// A question with a bool and a time column, and this many hidden cells.
    fn question(hidden: usize) -> Question {
        let columns = vec![bool_column("is_video").or_null(), time_column("first")];
        let listing = vec![ListingKey { column: 0, descending: true, nulls_first: true }];
        let schema = Arc::new(AnswerSchema::new(columns, hidden, listing).unwrap());
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, other) = built_in.iter().next().unwrap();
        Question { name: "mine".parse().unwrap(), schema, ..Question::clone(other) }
    }

    fn change(cells: &[AnswerCell], diff: i64) -> AnswerChange {
        AnswerChange { answer: QuestionId::new(0), row: AnswerRow::new(cells), diff }
    }

    #[test]
    fn change_of_several_equal_rows_lists_each_of_them() {
        let (video, other) = ([AnswerCell::Bool(true), AnswerCell::time(0)], [AnswerCell::Null, AnswerCell::time(1)]);
        let json = change_json(3, None, &[change(&video, 2), change(&other, -1)], (QuestionId::new(0), &question(0)));
        let video = r#"{"is_video":true,"first":"1970-01-01T00:00:00Z"}"#;
        let other = r#"{"is_video":null,"first":"1970-01-01T00:00:00.000001Z"}"#;
        let expected = format!(r#"{{"answer":"mine","epoch":3,"insert":[{video},{video}],"delete":[{other}]}}"#);
        assert_eq!(json.unwrap(), expected);
    }

    #[test]
    fn change_of_hidden_cells_only_is_no_change() {
        let row = |rank| [AnswerCell::Bool(true), AnswerCell::time(0), AnswerCell::Long(rank)];
        let asked = (QuestionId::new(0), &question(1));
        assert_eq!(change_json(3, None, &[change(&row(1), -1), change(&row(2), 1)], asked), None);
        let json = change_json(3, None, &[change(&row(1), -1), change(&row(2), 2)], asked).unwrap();
        assert!(
            json.ends_with(r#""insert":[{"is_video":true,"first":"1970-01-01T00:00:00Z"}],"delete":[]}"#),
            "{json}"
        );
    }
}
