//! Renders answers as text tables for people.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::Value;

use super::QueryFormat;
use pinflow_terminal::sanitize_line;

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn display_text(value: &Value) -> String {
    match value {
        Value::String(text) => sanitize_line(text),
        // Not `null`, which a text can be, too.
        Value::Null => "∅".to_owned(),
        other => other.to_string(),
    }
}

fn value_cell(value: &Value) -> Cell {
    let alignment = if value.is_number() { CellAlignment::Right } else { CellAlignment::Left };
    Cell::new(display_text(value)).set_alignment(alignment)
}

fn column_names(answer: &Value) -> Vec<&str> {
    let columns = answer["columns"].as_array();
    columns.into_iter().flatten().filter_map(|column| column["name"].as_str()).collect()
}

/// Writes one answer as a table, and the epoch that it is as of.
pub(super) fn write_table(answer: &Value, out: &mut impl Write) -> io::Result<()> {
    let names = column_names(answer);
    let mut table = new_table();
    table.set_header(names.iter().map(|name| sanitize_line(name)));
    for row in answer["rows"].as_array().into_iter().flatten() {
        table.add_row(names.iter().map(|name| value_cell(&row[*name])));
    }
    writeln!(out, "{table}")?;
    write!(out, "epoch {}, as of {}", answer["epoch"], display_text(&answer["as_of"]))?;
    match answer["durable_epoch"].as_u64() {
        Some(durable) => writeln!(out, ", durable epoch {durable}"),
        None => writeln!(out),
    }
}

/// Writes the list of answers with their columns.
pub(super) fn write_answer_list(answers: &Value, form: QueryFormat, out: &mut impl Write) -> io::Result<()> {
    let all = answers.as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = |answer: &Value, sep: &str| {
        let columns = answer["columns"].as_array();
        let named = |of: &Value| format!("{} {}", display_text(&of["name"]), display_text(&of["type"]));
        columns.into_iter().flatten().map(named).collect::<Vec<_>>().join(sep)
    };
    match form {
        QueryFormat::Json => writeln!(out, "{answers}"),
        QueryFormat::Ndjson => all.iter().try_for_each(|answer| writeln!(out, "{answer}")),
        QueryFormat::Csv => {
            writeln!(out, "answer,columns,rows")?;
            all.iter().try_for_each(|of| {
                let columns = csv_cell(&columns(of, ";"));
                writeln!(out, "{},{columns},{}", display_text(&of["answer"]), of["rows"])
            })
        }
        QueryFormat::Table => {
            let mut table = new_table();
            table.set_header(["answer", "columns", "rows"]);
            for of in all {
                table.add_row([value_cell(&of["answer"]), Cell::new(columns(of, ", ")), value_cell(&of["rows"])]);
            }
            writeln!(out, "{table}")
        }
    }
}

/// A text as a cell of CSV. A spreadsheet must not take it for a formula: names of columns can be any text.
fn csv_cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Writes one event: deleted and inserted rows, or a snapshot.
pub(super) fn write_event(kind: &str, event: &Value, out: &mut impl Write) -> io::Result<()> {
    if let Some(why) = event.get("why").or_else(|| event.get("anew")) {
        writeln!(out, "-- {}", display_text(why))?;
    }
    if kind == "snapshot" {
        return write_table(event, out);
    }
    for (sign, rows) in [('-', &event["delete"]), ('+', &event["insert"])] {
        for row in rows.as_array().into_iter().flatten().filter_map(Value::as_object) {
            let cells: Vec<_> = row.iter().map(|(name, value)| format!("{name}={}", display_text(value))).collect();
            writeln!(out, "{sign} {}  (epoch {})", cells.join("  "), event["epoch"])?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn list_as_csv_quotes_columns_of_any_name() {
        let columns = json!([{ "name": "=max(\"a\", b)", "type": "long" }, { "name": "c", "type": "boolean" }]);
        let answers = json!([{ "answer": "mine", "columns": columns, "rows": 3 }]);
        let mut out = Vec::new();
        write_answer_list(&answers, QueryFormat::Csv, &mut out).unwrap();
        let expected = "answer,columns,rows\nmine,\"'=max(\"\"a\"\", b) long;c boolean\",3\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn null_is_shown_apart_from_the_text_null() {
        assert_eq!((display_text(&Value::Null).as_str(), display_text(&json!("null")).as_str()), ("∅", "null"));
        assert_eq!(display_text(&json!(false)), "false");
    }
}
