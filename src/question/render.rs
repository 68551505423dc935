//! Prints explanations and answers.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Map, Value, json};

use super::args::{ExplainFormat, QuestionFormat};
use super::explain::{ExplainedColumn, MaintenancePath, QuestionExplanation};
use super::memory_estimate::{EstimatedColumn, MemoryTotal, StatePart};
use super::try_question::TriedAnswer;
use crate::config::QuestionText;
use pinflow_dataflows::answer::{AnswerCell, ColumnType};
use pinflow_dataflows::questions::QuestionName;
use pinflow_serving::escape_formulas;
use pinflow_sql::datum::{Datum, Row, SqlType};
use pinflow_sql::plan::BoundQuestion;
use pinflow_terminal::sanitize_line;

/// Prints explanations, with an empty line between them.
pub(super) fn write_explanations(
    explanations: &[QuestionExplanation],
    format: ExplainFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (index, explanation) in explanations.iter().enumerate() {
        match format {
            ExplainFormat::Json => {
                serde_json::to_writer(&mut *out, explanation)?;
                writeln!(out)?;
            }
            ExplainFormat::Text => {
                if index > 0 {
                    writeln!(out)?;
                }
                write_explanation(explanation, out)?;
            }
        }
    }
    Ok(())
}

fn write_explanation(explanation: &QuestionExplanation, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", explanation.question)?;
    writeln!(out, "\ncolumns")?;
    let width = explanation.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or_default();
    for ExplainedColumn { name, ty, nullable } in &explanation.columns {
        let null = if *nullable { "" } else { ", never null" };
        writeln!(out, "  {:width$}  {ty}{null}", sanitize_line(name))?;
    }
    let order = match explanation.order.as_slice() {
        [] => "all columns".to_owned(),
        keys => format!("{}, then all columns", keys.join(", ")),
    };
    writeln!(out, "\nlisted by {}", sanitize_line(&order))?;
    writeln!(out, "\nplan")?;
    for line in &explanation.plan {
        writeln!(out, "  {}", sanitize_line(line))?;
    }
    let path = match explanation.path {
        MaintenancePath::Fast => "fast path: a join with one aggregation or ranking, as of the built-in questions",
        MaintenancePath::General => "general path: the operators of the plan, from changes to changes",
    };
    writeln!(out, "\nkept up to date on the {path}")?;
    write_memory(explanation, out)?;
    if !explanation.notes.is_empty() {
        writeln!(out, "\nnotes")?;
    }
    explanation.notes.iter().try_for_each(|note| writeln!(out, "  {}", sanitize_line(note)))
}

fn write_memory(explanation: &QuestionExplanation, out: &mut dyn Write) -> io::Result<()> {
    let memory = &explanation.memory;
    writeln!(out, "\nmemory for each ind")?;
    if !memory.held_anyway.is_empty() {
        writeln!(out, "  held anyway    {}", memory.held_anyway.join(", "))?;
    }
    for EstimatedColumn { column, is_computed, bytes } in &memory.held_for_it {
        let computed = if *is_computed { "computed of " } else { "" };
        writeln!(out, "  held for it    {computed}{column}: {bytes} bytes")?;
    }
    let bytes = memory.bytes_per_ind;
    writeln!(out, "  in all         about {bytes} bytes more, without groups and index (an estimate)")?;
    if !memory.state.is_empty() {
        writeln!(out, "\nmemory for groups and rows (an estimate)")?;
    }
    memory.state.iter().try_for_each(|part| write_state(part, out))?;
    writeln!(out, "\nmemory of the answer (an estimate)")?;
    let bytes = memory.bytes_per_answer_row;
    writeln!(out, "  each row       {bytes} bytes, with its places in the lists of readers, durable reads and stdout")?;
    memory.total.as_ref().map_or(Ok(()), |total| write_total(total, out))
}

fn write_total(total: &MemoryTotal, out: &mut dyn Write) -> io::Result<()> {
    let MemoryTotal { is_measured, inds, groups, rows, held_bytes, answer_rows, answer_bytes } = total;
    match is_measured {
        true => writeln!(out, "\nmemory over these tables, with {inds} ind (measured)")?,
        false => writeln!(out, "\nmemory with {inds} ind and {groups} groups (an estimate)")?,
    }
    let held = if *is_measured { format!(", {groups} groups, {rows} rows and values") } else { String::new() };
    writeln!(out, "  held           {}{held}", format_bytes(*held_bytes))?;
    let answer = format_bytes(*answer_bytes);
    writeln!(
        out,
        "  answer         {answer} for {answer_rows} rows, in the lists of readers, durable reads and stdout"
    )?;
    writeln!(out, "  in all         about {}", format_bytes(total.bytes()))
}

fn write_state(part: &StatePart, out: &mut dyn Write) -> io::Result<()> {
    let StatePart { holds, bytes_per_group, bytes_per_row } = part;
    write!(out, "  {holds:14}")?;
    match (bytes_per_group, bytes_per_row) {
        (group, 0) => writeln!(out, " {group} bytes for each group"),
        (0, row) => writeln!(out, " {row} bytes for each row"),
        (group, row) => writeln!(out, " {group} bytes for each group, and {row} for each different row in it"),
    }
}

/// A size to read.
fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let mut size = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while size >= 1024.0
        && let Some(next) = units.next()
    {
        (size, unit) = (size / 1024.0, *next);
    }
    if bytes < 1024 { format!("{bytes} {unit}") } else { format!("{size:.1} {unit}") }
}

/// Prints an answer; at most `limit` rows of it.
pub(super) fn write_answer(
    text: &QuestionText,
    bound: &BoundQuestion,
    answer: &TriedAnswer,
    (limit, format): (Option<usize>, QuestionFormat),
    out: &mut dyn Write,
) -> io::Result<()> {
    let shown = &answer.rows[..limit.unwrap_or(usize::MAX).min(answer.rows.len())];
    match format {
        QuestionFormat::Table => write_table(bound, shown, out),
        QuestionFormat::Csv => write_csv(bound, shown, out),
        QuestionFormat::Json => writeln!(out, "{}", answer_json(&text.name, bound, answer, limit)),
    }
}

/// An answer as JSON; at most `limit` rows of it.
pub(crate) fn answer_json(
    name: &QuestionName,
    bound: &BoundQuestion,
    answer: &TriedAnswer,
    limit: Option<usize>,
) -> Value {
    let columns = bound.columns.iter();
    let columns: Vec<_> = columns.map(|of| json!({ "name": of.name, "type": type_name(of.ty) })).collect();
    let shown = answer.rows.iter().take(limit.unwrap_or(usize::MAX));
    let rows: Vec<_> = shown.map(|row| json_row(bound, row)).collect();
    json!({
        "answer": name.as_str(),
        "columns": columns,
        "rows": rows,
        "rows_total": answer.rows.len(),
        "faults": answer.faults,
    })
}

fn json_row(bound: &BoundQuestion, row: &Row) -> Value {
    let cells = bound.columns.iter().zip(row).map(|(column, cell)| (column.name.clone(), json_value(cell)));
    Value::Object(cells.collect::<Map<_, _>>())
}

/// The name of a type, as answers of a run have it.
pub(super) fn type_name(ty: SqlType) -> &'static str {
    ColumnType::from_sql(ty).map_or(ty.name(), ColumnType::name)
}

/// A value as JSON, as answers of a run have it.
fn json_value(value: &Datum) -> Value {
    json!(AnswerCell::from(value.clone()))
}

fn write_table(bound: &BoundQuestion, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(bound.columns.iter().map(|column| sanitize_line(&column.name)));
    for row in rows {
        table.add_row(row.iter().map(|value| {
            let is_number = matches!(value, Datum::Long(_) | Datum::Double(_));
            let alignment = if is_number { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(sanitize_line(&plain_text(value))).set_alignment(alignment)
        }));
    }
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

/// A value without quotes; null as `null`.
fn plain_text(value: &Datum) -> String {
    match json_value(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn write_csv(bound: &BoundQuestion, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let header: Vec<_> = bound.columns.iter().map(|column| csv_field(&escape_formulas(&column.name))).collect();
    writeln!(out, "{}", header.join(","))?;
    rows.iter().try_for_each(|row| {
        let fields = row.iter().map(|value| match value {
            Datum::Null => String::new(),
            Datum::Text(text) => csv_field(&escape_formulas(text)),
            other => csv_field(&plain_text(other)),
        });
        writeln!(out, "{}", fields.collect::<Vec<_>>().join(","))
    })
}

/// A field as RFC 4180 has it.
pub(crate) fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
