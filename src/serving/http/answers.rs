//! `/answers`: what is known, as of one epoch.

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use pinflow_dataflows::answer::{Cell, Column, Kind, Row};
use pinflow_dataflows::questions::{self, Question};
use serde::Serialize;

use super::params::{self, Asked, Filter, Form};
use super::reply::{self, Fault};
use super::{Shared, blocking};
use crate::engine::SourceStatus;
use crate::position::Epoch;
use crate::serving::board::{Board, Read};
use crate::serving::render::{self, NamedRows, as_millis};
use crate::serving::view::View;

/// All answers.
#[derive(Serialize)]
struct All<'a> {
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    sources: &'a [SourceStatus],
    answers: Vec<Answer<'a>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    answer: &'a str,
    columns: Vec<Named>,
    rows: NamedRows<'a>,
}

/// One answer.
#[derive(Serialize)]
struct One<'a> {
    answer: &'a str,
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    columns: Vec<Named>,
    rows: NamedRows<'a>,
}

/// A column, as readers learn of it.
#[derive(Serialize)]
pub(super) struct Named {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whether it groups: such columns can be filtered by.
    group: bool,
}

/// The columns of a question.
pub(super) fn columns(question: &Question) -> Vec<Named> {
    let named = |(at, column): (usize, &Column)| Named {
        name: column.name,
        kind: kind(column.kind),
        group: at < question.groups(),
    };
    question.columns.iter().enumerate().map(named).collect()
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Long => "long",
        Kind::Text => "text",
        Kind::Double => "double",
    }
}

/// The question of that name, and where it stands among all.
pub(super) fn question(name: &str) -> Result<(usize, &'static Question), Fault> {
    let found = questions::ALL.iter().enumerate().find(|(_, question)| question.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = questions::ALL.iter().map(|question| question.name).collect();
        let message = format!("there is no answer of that name; there are {}", names.join(", "));
        Fault::new(StatusCode::NOT_FOUND, "unknown_answer", message)
    })
}

/// The answers, if they may be shown.
pub(super) fn view(board: &Board, read: Read) -> Result<View, Fault> {
    let Some(view) = board.view(read) else {
        // Before the first epoch it is not known whether there are tables.
        return Err(if board.view(Read::Live).is_some_and(|live| live.open) {
            Fault::bad("this run keeps no tables, so no answer is durable; read=live")
        } else {
            not_open()
        });
    };
    if view.open { Ok(view) } else { Err(not_open()) }
}

pub(super) fn not_open() -> Fault {
    Fault::not_yet("the answers are being rebuilt from the tables; /readyz says when they can be read")
}

/// Names what is shown: this run, this face, this epoch.
fn tag(board: &Board, read: Read, epoch: Epoch) -> String {
    let face = if read == Read::Durable { "d" } else { "" };
    format!("\"{:x}-{face}{epoch}\"", board.run())
}

fn has(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// `GET /answers`
pub(super) async fn all(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let Asked { read, form, .. } = params::asked(query.as_deref(), None)?;
    let view = view(&shared.board, read)?;
    let rows = view.answers().map(|(_, table)| table.rows().len()).sum();
    reply(&shared.board, read, &headers, view, rows, move |view| match form {
        Form::Ndjson => Ok((reply::NDJSON, ndjson(view)?)),
        Form::Json | Form::Csv => {
            let answers = view.answers().map(|(question, table)| Answer {
                answer: question.name,
                columns: columns(question),
                rows: NamedRows { columns: question.columns, rows: table.rows().collect() },
            });
            let View { epoch, as_of, durable_epoch, .. } = *view;
            let all = All { epoch, as_of, durable_epoch, sources: &view.sources, answers: answers.collect() };
            Ok((reply::JSON, serde_json::to_vec(&all)?))
        }
    })
    .await
}

/// `GET /answers/{name}`
pub(super) async fn one(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let (at, question) = question(&name)?;
    let Asked { read, form, filter } = params::asked(query.as_deref(), Some(question))?;
    let view = view(&shared.board, read)?;
    let rows = view.answer(at).rows().len();
    reply(&shared.board, read, &headers, view, rows, move |view| {
        let rows = chosen(view, at, &filter);
        match form {
            Form::Csv => Ok((reply::CSV, csv(question.columns, &rows)?)),
            Form::Ndjson => {
                let mut lines = Vec::new();
                for row in rows {
                    serde_json::to_writer(&mut lines, &row.named(question.columns))?;
                    lines.push(b'\n');
                }
                Ok((reply::NDJSON, lines))
            }
            Form::Json => {
                let View { epoch, as_of, durable_epoch, .. } = *view;
                let rows = NamedRows { columns: question.columns, rows };
                let one = One { answer: question.name, epoch, as_of, durable_epoch, columns: columns(question), rows };
                Ok((reply::JSON, serde_json::to_vec(&one)?))
            }
        }
    })
    .await
}

fn chosen<'a>(view: &'a View, answer: usize, filter: &Filter) -> Vec<&'a Row> {
    view.answer(answer).rows().filter(|row| filter.takes(row)).collect()
}

/// Answers with what `render` makes of the view, or that nothing has changed since.
async fn reply(
    board: &Board,
    read: Read,
    headers: &HeaderMap,
    view: View,
    rows: usize,
    render: impl FnOnce(&View) -> anyhow::Result<(HeaderValue, Vec<u8>)> + Send + 'static,
) -> Result<Response, Fault> {
    let tag = tag(board, read, view.epoch);
    let mut response = if has(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (kind, bytes) = blocking(rows, move || render(&view)).await?;
        reply::body(kind, reply::REVALIDATE, bytes)
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// As on stdout.
fn ndjson(view: &View) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    render::snapshot(view, &mut lines)?;
    Ok(lines)
}

/// RFC 4180, with a header. Spreadsheets take a cell that begins with one of `=+-@` (or a tab, or a line break) for a
/// formula, and a text may be anything: such a text gets a `'` in front.
fn csv(columns: &[Column], rows: &[&Row]) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    out.write_record(columns.iter().map(|column| column.name))?;
    for row in rows {
        out.write_record(row.0.iter().map(|cell| match cell {
            Cell::Long(value) => value.to_string(),
            Cell::Double(value) => value.to_string(),
            Cell::Text(text) => harmless(text),
        }))?;
    }
    out.into_inner().map_err(|error| error.into_error().into())
}

fn harmless(text: &str) -> String {
    let steers = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if steers { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::answer::{long, text};

    use super::*;

    #[test]
    fn cells_that_steer_a_spreadsheet_are_disarmed_and_others_stay() {
        let columns = [text("category"), long("count")];
        let texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "a,b", "say \"x\"", "two\nlines", "art"];
        let rows: Vec<Row> = texts.iter().map(|text| Row(Box::new([Cell::text(text), Cell::Long(-3)]))).collect();
        let written = String::from_utf8(csv(&columns, &rows.iter().collect::<Vec<_>>()).unwrap()).unwrap();
        let expected = [
            "category,count",
            "'=1+1,-3",
            "'+1,-3",
            "'-1,-3",
            "'@SUM(A1),-3",
            "'\tx,-3",
            "\"a,b\",-3",
            "\"say \"\"x\"\"\",-3",
            "\"two\nlines\",-3",
            "art,-3",
            "",
        ];
        assert_eq!(written.split("\r\n").collect::<Vec<_>>(), expected);
    }
}
