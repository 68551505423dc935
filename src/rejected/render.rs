//! Prints rejections and their counts.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;
use pinflow_dataflows::record::Micros;
use serde_json::{Value, json};

use super::args::RejectionFormat;
use super::filter::{stream_name, time_of};
use super::newest::CountedRejections;
use super::replay::{PassStore, ReplayPlace};
use crate::question::csv_field;
use pinflow_delta::StoredRejection;
use pinflow_serving::escape_formulas;
use pinflow_terminal::{sanitize_line, write_error_line};

/// The width of a table if the output is not a terminal, in characters.
const DEFAULT_WIDTH_COLUMNS: u16 = 120;

/// A time as text.
pub(super) fn time_text(micros: Micros) -> String {
    Timestamp::from_microsecond(micros).map(|at| at.to_string()).unwrap_or_default()
}

/// Prints rejections. `matching` is how many there are.
pub(super) fn write_rejections(
    rejections: &[StoredRejection],
    passes: &PassStore,
    matching: u64,
    format: RejectionFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        RejectionFormat::Json => {
            let all: Vec<_> = rejections.iter().map(|rejection| rejection_json(rejection, passes)).collect();
            serde_json::to_writer_pretty(&mut *out, &all)?;
            writeln!(out)?;
        }
        RejectionFormat::Csv => {
            let header = [
                "_arrived_at",
                "_source",
                "_position",
                "_sub",
                "stream",
                "reason",
                "detail",
                "payload_bytes",
                "payload_sha256",
                "replay_source",
                "replay_position",
            ];
            write_csv(&header, rejections.iter().map(|rejection| csv_cells(rejection, passes)), out)?;
        }
        RejectionFormat::Table => {
            let header = ["time", "source", "position", "sub", "stream", "reason", "detail", "bytes", "replayed"];
            // The last column only if it says something.
            let is_replayed = rejections.iter().any(|rejection| passes.place_of(rejection).is_some());
            let header = &header[..header.len() - usize::from(!is_replayed)];
            let cells = |rejection| table_cells(rejection, passes).into_iter().take(header.len()).collect();
            write_table(header, &[2, 3, 7], rejections.iter().map(cells), out)?;
        }
    }
    if matching > rejections.len() as u64 {
        write_error_line(&format!("the newest {} of {matching} rejections; --limit lists more", rejections.len()));
    }
    Ok(())
}

/// Prints how many rejections there are of each kind.
pub(super) fn write_counts(counts: &CountedRejections, format: RejectionFormat, out: &mut dyn Write) -> io::Result<()> {
    let mut header: Vec<&str> = counts.properties().iter().map(|property| property.name()).collect();
    let numbers = [header.len(), header.len() + 1];
    header.extend(["rejections", "bytes"]);
    let kinds = counts.most_frequent_first();
    let cells = kinds.iter().map(|(values, count)| {
        let numbers = [count.rejections.to_string(), count.bytes.to_string()];
        values.iter().cloned().chain(numbers).collect::<Vec<_>>()
    });
    match format {
        RejectionFormat::Json => {
            let names = &header;
            let kind = |(values, count): &(&[String], super::newest::KindCount)| {
                let mut kind = serde_json::Map::new();
                kind.extend(names.iter().zip(*values).map(|(name, value)| ((*name).to_owned(), json!(value))));
                kind.insert("rejections".to_owned(), json!(count.rejections));
                kind.insert("bytes".to_owned(), json!(count.bytes));
                Value::Object(kind)
            };
            let kinds: Vec<_> = kinds.iter().map(kind).collect();
            serde_json::to_writer_pretty(&mut *out, &json!({ "rejections": counts.total(), "kinds": kinds }))?;
            writeln!(out)
        }
        RejectionFormat::Csv => write_csv(&header, cells, out),
        RejectionFormat::Table => {
            write_table(&header, &numbers, cells, out)?;
            writeln!(out, "\n{} rejections", counts.total())
        }
    }
}

fn rejection_json(rejection: &StoredRejection, passes: &PassStore) -> Value {
    let replay = passes.place_of(rejection);
    json!({
        "_source": rejection.source,
        "_position": rejection.position.to_string(),
        "_sub": rejection.sub,
        "_arrived_at": rejection.arrived_at.map(time_text),
        "written_at": time_text(rejection.written_at),
        "stream": rejection.stream,
        "reason": rejection.reason,
        "detail": rejection.detail,
        "payload_bytes": rejection.payload_bytes,
        "payload_sha256": rejection.payload_sha256,
        "replay_source": replay.map(ReplayPlace::source_name),
        "replay_position": replay.map(|replay| replay.position),
    })
}

fn csv_cells(rejection: &StoredRejection, passes: &PassStore) -> Vec<String> {
    let replay = passes.place_of(rejection);
    vec![
        rejection.arrived_at.map(time_text).unwrap_or_default(),
        escape_formulas(&rejection.source),
        rejection.position.to_string(),
        rejection.sub.to_string(),
        rejection.stream.clone().unwrap_or_default(),
        rejection.reason.clone(),
        escape_formulas(&rejection.detail),
        rejection.payload_bytes.to_string(),
        rejection.payload_sha256.clone().unwrap_or_default(),
        replay.map(ReplayPlace::source_name).unwrap_or_default(),
        replay.map(|replay| replay.position.to_string()).unwrap_or_default(),
    ]
}

fn table_cells(rejection: &StoredRejection, passes: &PassStore) -> Vec<String> {
    let time = time_text(time_of(rejection));
    let seconds = time.split_once('.').map_or_else(|| time.clone(), |(seconds, _)| format!("{seconds}Z"));
    vec![
        seconds,
        rejection.source.clone(),
        rejection.position.to_string(),
        rejection.sub.to_string(),
        stream_name(rejection).to_owned(),
        rejection.reason.clone(),
        rejection.detail.clone(),
        rejection.payload_bytes.to_string(),
        passes.place_of(rejection).map(ReplayPlace::describe).unwrap_or_default(),
    ]
}

fn write_csv(header: &[&str], rows: impl Iterator<Item = Vec<String>>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", header.join(","))?;
    for row in rows {
        writeln!(out, "{}", row.iter().map(|cell| csv_field(cell)).collect::<Vec<_>>().join(","))?;
    }
    Ok(())
}

/// Prints a table within the width of the terminal. `numbers` are the columns that are aligned to the right.
fn write_table(
    header: &[&str],
    numbers: &[usize],
    rows: impl Iterator<Item = Vec<String>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(DEFAULT_WIDTH_COLUMNS);
    }
    for row in rows {
        table.add_row(row.iter().enumerate().map(|(column, text)| {
            let alignment = if numbers.contains(&column) { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(sanitize_line(text)).set_alignment(alignment)
        }));
    }
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}
