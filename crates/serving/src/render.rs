//! Renders answers as JSON Lines and as text tables.

use std::io::{self, Write};

use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerChange, AnswerColumn, AnswerRow};
use pinflow_dataflows::questions;
use serde::{Serialize, Serializer};

use super::AnswerView;
use super::screen::answer_grid;
use pinflow_core::position::Epoch;
use pinflow_engine::SourceStatus;
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
        let rows = NamedRows { columns: question.columns, rows: table.rows().collect() };
        write_json_line(out, &AnswerLine { answer: question.name, epoch: view.epoch, as_of: &as_of, rows })?;
    }
    let AnswerView { epoch, durable_epoch, complete, .. } = *view;
    let cut = CutLine { epoch, as_of: &as_of, durable_epoch, complete, sources: &view.sources };
    write_json_line(out, &cut)
}

/// Writes the changes of one epoch, one JSON line for each changed answer.
pub(super) fn write_changes(epoch: Epoch, changes: &[AnswerChange], out: &mut impl Write) -> io::Result<()> {
    for json in (0..questions::ALL.len()).filter_map(|answer| change_json(epoch, None, changes, answer)) {
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
    answer: usize,
) -> Option<String> {
    let question = &questions::ALL[answer];
    let of = |sign: i64| NamedRows {
        columns: question.columns,
        rows: changes.iter().filter(|c| c.answer == answer && c.diff.signum() == sign).map(|c| &c.row).collect(),
    };
    let (insert, delete) = (of(1), of(-1));
    if insert.rows.is_empty() && delete.rows.is_empty() {
        return None;
    }
    let line = ChangeLine { answer: question.name, epoch, as_of, insert, delete };
    // Cannot fail: keys are strings and cells are numbers or strings.
    serde_json::to_string(&line).ok()
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

/// The epoch and time that answers are as of, as one line.
pub(super) fn position_line(view: &AnswerView) -> String {
    let durable = view.durable_epoch.map(|durable| format!(", durable epoch {durable}")).unwrap_or_default();
    format!("epoch {}, as of {}{durable}", view.epoch, format_millis(view.as_of))
}
