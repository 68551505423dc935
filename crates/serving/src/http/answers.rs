//! `GET /answers` and `GET /answers/{name}`: answers as of one epoch, as JSON, NDJSON or CSV.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerCell, AnswerColumn, AnswerRow, ListingKey};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionName};
use serde::Serialize;

use super::SharedServingState;
use super::byte_range::{RequestedPart, allows_tag, requested_part};
use super::params::{self, AnswerParams, ReplyFormat, RowFilter};
use super::reply::{self, ApiError};
use super::shared_replies::ReplyKey;
use crate::answer_hub::{AnswerHub, ReadConsistency};
use crate::answer_view::AnswerView;
use crate::render::{self, NamedRows, as_millis};
use pinflow_core::position::Epoch;
use pinflow_engine::SourceStatus;

/// JSON body of `/answers`.
#[derive(Serialize)]
struct AllAnswersBody<'a> {
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    sources: &'a [SourceStatus],
    answers: Vec<AnswerBody<'a>>,
}

#[derive(Serialize)]
struct AnswerBody<'a> {
    answer: &'a str,
    columns: Vec<ColumnBody<'a>>,
    order: Vec<OrderKeyBody<'a>>,
    rows: NamedRows<'a>,
}

/// JSON body of `/answers/{name}`.
#[derive(Serialize)]
struct SingleAnswerBody<'a> {
    answer: &'a str,
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    columns: Vec<ColumnBody<'a>>,
    order: Vec<OrderKeyBody<'a>>,
    rows: NamedRows<'a>,
}

/// A column's description in a reply.
#[derive(Serialize)]
pub(super) struct ColumnBody<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whether values can be null.
    nullable: bool,
    /// Whether it is a grouping column of a built-in question.
    group: bool,
}

/// The columns of a question.
pub(super) fn column_bodies(question: &Question) -> Vec<ColumnBody<'_>> {
    let groups = question.group_columns();
    let columns = question.columns().iter().enumerate();
    columns
        .map(|(at, AnswerColumn { name, kind, nullable })| ColumnBody {
            name,
            kind: kind.name(),
            nullable: *nullable,
            group: at < groups,
        })
        .collect()
}

/// A key of the order in which rows are listed.
#[derive(Serialize)]
pub(super) struct OrderKeyBody<'a> {
    column: &'a str,
    descending: bool,
    nulls_first: bool,
}

/// The order in which the rows of an answer are listed, as far as its columns say it: up to the first hidden cell.
pub(super) fn order_bodies(question: &Question) -> Vec<OrderKeyBody<'_>> {
    let columns = question.columns();
    let body = |key: &ListingKey| {
        let column = columns.get(key.column)?.name.as_str();
        Some(OrderKeyBody { column, descending: key.descending, nulls_first: key.nulls_first })
    };
    question.schema.listing().iter().map_while(body).collect()
}

/// The question of this name in a view.
pub(super) fn find_question<'a>(view: &'a AnswerView, name: &str) -> Result<(QuestionId, &'a Arc<Question>), ApiError> {
    view.questions().find(name).ok_or_else(|| {
        let names: Vec<_> = view.questions().names().map(QuestionName::as_str).collect();
        let message = format!("unknown answer; the answers are {}", names.join(", "));
        ApiError::new(StatusCode::NOT_FOUND, "unknown_answer", message)
    })
}

/// The current answers.
///
/// # Errors
/// 503 while they are rebuilt, 400 for durable answers of a run without tables.
pub(super) fn readable_view(answer_hub: &AnswerHub, read: ReadConsistency) -> Result<AnswerView, ApiError> {
    let Some(view) = answer_hub.current_view(read) else {
        // Whether there are tables is known only after the first epoch.
        return Err(if answer_hub.current_view(ReadConsistency::Live).is_some_and(|live| live.open) {
            ApiError::bad_request("this run writes no tables, so there are no durable answers; use read=live")
        } else {
            not_ready()
        });
    };
    if view.open { Ok(view) } else { Err(not_ready()) }
}

pub(super) fn not_ready() -> ApiError {
    ApiError::not_ready("the answers are being rebuilt from the tables; retry when /readyz returns 200")
}

/// The `ETag`: run, feed and epoch, and whatever else the reply says. Replies with the same tag have the same bytes, so that
/// a client can put ranges together.
fn entity_tag(answer_hub: &AnswerHub, read: ReadConsistency, view: &AnswerView, format: ReplyFormat) -> String {
    let face = if read == ReadConsistency::Durable { "d" } else { "" };
    let header = match format {
        ReplyFormat::Json => {
            let durable = view.durable_epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
            format!("-{durable}-{:x}", view.as_of.as_millisecond())
        }
        ReplyFormat::Ndjson | ReplyFormat::Csv(_) => String::new(),
    };
    format!("\"{:x}-{face}{}{header}\"", answer_hub.run_id(), view.epoch)
}

/// The `ETag` of all answers together. It is weak: the reply also has what the sources report at the moment.
fn weak_entity_tag(answer_hub: &AnswerHub, read: ReadConsistency, epoch: Epoch) -> String {
    let face = if read == ReadConsistency::Durable { "d" } else { "" };
    format!("W/\"{:x}-{face}{epoch}\"", answer_hub.run_id())
}

fn matches_tag(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let opaque = |tag: &str| tag.trim_start_matches("W/").to_owned();
    given.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || opaque(one) == opaque(tag))
}

/// `GET /answers`
pub(super) async fn get_all_answers(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let AnswerParams { read, format, .. } = params::parse_answer_params(query.as_deref(), None)?;
    let view = readable_view(&shared.answer_hub, read)?;
    let tag = weak_entity_tag(&shared.answer_hub, read, view.epoch);
    if matches_tag(&headers, &tag) {
        return Ok(with_entity_tag(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let rows = view.row_count(None);
    let render = move |view: &AnswerView| render_all(view, format);
    let bytes = shared.shared_replies.render_shared(ReplyKey::AllAnswers(read, format), view, rows, render).await?;
    Ok(with_entity_tag(reply::shared_response(content_type(format), bytes), tag))
}

/// `GET /answers/{name}`
pub(super) async fn get_answer(
    State(shared): State<SharedServingState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let read = params::parse_read(query.as_deref())?;
    let view = readable_view(&shared.answer_hub, read)?;
    let (id, question) = find_question(&view, &name)?;
    let AnswerParams { format, filter, .. } = params::parse_answer_params(query.as_deref(), Some(question))?;
    let tag = entity_tag(&shared.answer_hub, read, &view, format);
    if !allows_tag(&headers, &tag) {
        let what = "the answer has changed since the reply that If-Match names; read it again from its start";
        return Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "changed", what));
    }
    if matches_tag(&headers, &tag) {
        return Ok(with_entity_tag(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let (rows, shared_replies) = (view.row_count(Some(id)), &shared.shared_replies);
    let bytes = if filter.is_empty() {
        let key = ReplyKey::SingleAnswer(read, id, format);
        shared_replies.render_shared(key, view, rows, move |view| render_one(view, id, format, &filter)).await?
    } else {
        shared_replies.render_unshared(rows, move || render_one(&view, id, format, &filter)).await?
    };
    let part = if method == Method::GET { requested_part(&headers, &tag, bytes.len()) } else { RequestedPart::Whole };
    Ok(with_entity_tag(part_response(content_type(format), bytes, part), tag))
}

/// A reply with a part of the bytes, which stay counted until the part is read.
fn part_response(kind: HeaderValue, bytes: Bytes, part: RequestedPart) -> Response {
    let len = bytes.len();
    let (mut response, range) = match part {
        RequestedPart::Whole => (reply::shared_response(kind, bytes), None),
        RequestedPart::Part(range) => {
            let mut response = reply::shared_response(kind, bytes.slice(range.clone()));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            (response, Some(format!("bytes {}-{}/{len}", range.start, range.end - 1)))
        }
        RequestedPart::Unsatisfiable => {
            let what = format!("the answer has {len} bytes in this format, and the range begins after them");
            let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", what);
            (error.into_response(), Some(format!("bytes */{len}")))
        }
    };
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
        response.headers_mut().insert(CONTENT_RANGE, range);
    }
    response
}

fn content_type(format: ReplyFormat) -> HeaderValue {
    match format {
        ReplyFormat::Json => reply::JSON_TYPE,
        ReplyFormat::Ndjson => reply::NDJSON_TYPE,
        ReplyFormat::Csv(_) => reply::CSV_TYPE,
    }
}

fn with_entity_tag(mut response: Response, tag: String) -> Response {
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn render_all(view: &AnswerView, format: ReplyFormat) -> anyhow::Result<Vec<u8>> {
    if format == ReplyFormat::Ndjson {
        return Ok(render_ndjson(view)?);
    }
    let answers = view.answers().map(|(question, table)| AnswerBody {
        answer: &question.name,
        columns: column_bodies(question),
        order: order_bodies(question),
        rows: NamedRows { columns: question.columns(), rows: table.rows().collect() },
    });
    let AnswerView { epoch, as_of, durable_epoch, .. } = *view;
    let all = AllAnswersBody { epoch, as_of, durable_epoch, sources: &view.sources, answers: answers.collect() };
    Ok(serde_json::to_vec(&all)?)
}

fn render_one(view: &AnswerView, id: QuestionId, format: ReplyFormat, filter: &RowFilter) -> anyhow::Result<Vec<u8>> {
    let (question, table) = view.answer(id).ok_or_else(|| anyhow::anyhow!("the view has no answer {id}"))?;
    let columns = question.columns();
    let rows: Vec<&AnswerRow> = table.rows().filter(|row| filter.matches_row(row)).collect();
    match format {
        ReplyFormat::Csv(separator) => Ok(render_csv(columns, &rows, separator)?),
        ReplyFormat::Ndjson => {
            let mut lines = Vec::new();
            for row in rows {
                serde_json::to_writer(&mut lines, &row.with_columns(columns))?;
                lines.push(b'\n');
            }
            Ok(lines)
        }
        ReplyFormat::Json => {
            let AnswerView { epoch, as_of, durable_epoch, .. } = *view;
            let rows = NamedRows { columns, rows };
            let one = SingleAnswerBody {
                answer: &question.name,
                epoch,
                as_of,
                durable_epoch,
                columns: column_bodies(question),
                order: order_bodies(question),
                rows,
            };
            Ok(serde_json::to_vec(&one)?)
        }
    }
}

/// The same lines as on stdout.
fn render_ndjson(view: &AnswerView) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    render::write_snapshot(view, &mut lines)?;
    Ok(lines)
}

/// CSV by RFC 4180 with a header line. Null is an empty cell.
fn render_csv(columns: &[AnswerColumn], rows: &[&AnswerRow], separator: u8) -> Result<Vec<u8>, csv::Error> {
    let mut out =
        csv::WriterBuilder::new().delimiter(separator).terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    out.write_record(columns.iter().map(|column| escape_formulas(&column.name)))?;
    for row in rows {
        out.write_record(row.visible(columns).iter().map(|cell| match cell {
            AnswerCell::Text(text) => escape_formulas(text),
            AnswerCell::Null => String::new(),
            other => other.to_string(),
        }))?;
    }
    out.into_inner().map_err(|error| error.into_error().into())
}

/// Prevents formula injection: puts a `'` before each of `=+-@` at the start of a cell.
///
/// Text after any common separator counts as a cell. A spreadsheet chooses its separator by its language, whatever the file
/// was written with: `x;=1+1` is one cell in some and two in others.
#[must_use]
pub fn escape_formulas(text: &str) -> String {
    let (mut kept, mut begins_cell) = (String::with_capacity(text.len() + 1), true);
    for (at, c) in text.char_indices() {
        let steers = matches!(c, '=' | '+' | '-' | '@') || (at == 0 && matches!(c, '\t' | '\r' | '\n'));
        if begins_cell && steers {
            kept.push('\'');
        }
        kept.push(c);
        begins_cell = matches!(c, ',' | ';' | '|' | '\t' | '\r' | '\n') || (begins_cell && matches!(c, ' ' | '"'));
    }
    kept
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::answer::{AnswerSchema, bool_column, double_column, long_column, text_column, time_column};
    use pinflow_dataflows::questions::QuestionSet;

    use pinflow_dataflows::graph::GraphOptions;

    use super::*;

    #[test]
    fn order_names_columns_up_to_the_first_hidden_cell() {
        let key = |column, descending| ListingKey { column, descending, nulls_first: true };
        let listing = vec![key(1, true), key(2, false), key(0, false)];
        let columns = vec![text_column("category"), long_column("count")];
        let schema = Arc::new(AnswerSchema::new(columns, 1, listing).unwrap());
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, other) = built_in.iter().next().unwrap();
        let question = Question { schema, ..Question::clone(other) };
        assert_eq!(
            serde_json::to_string(&order_bodies(&question)).unwrap(),
            r#"[{"column":"count","descending":true,"nulls_first":true}]"#
        );
    }

    #[test]
    fn csv_cells_that_start_a_formula_are_escaped_and_others_are_kept() {
        let columns = [text_column("category"), long_column("count")];
        let texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "a,b", "say \"x\"", "two\nlines", "art"];
        let rows: Vec<AnswerRow> =
            texts.iter().map(|text| AnswerRow::new([AnswerCell::text(text), AnswerCell::Long(-3)])).collect();
        let written = String::from_utf8(render_csv(&columns, &rows.iter().collect::<Vec<_>>(), b',').unwrap()).unwrap();
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

    #[test]
    fn csv_has_empty_cells_for_nulls_and_no_hidden_cells() {
        let columns =
            [text_column("=x"), bool_column("is_video").or_null(), time_column("first").or_null(), double_column("y")];
        let cells = [
            [
                AnswerCell::text(""),
                AnswerCell::Bool(true),
                AnswerCell::time(1_580_457_600_250_000),
                AnswerCell::Double(0.5),
            ],
            [AnswerCell::text("b"), AnswerCell::Null, AnswerCell::Null, AnswerCell::Double(-1e300)],
        ];
        let hidden = [AnswerCell::text("hidden")];
        let rows = cells.map(|cells| AnswerRow::new([&cells[..], &hidden].concat()));
        let written = String::from_utf8(render_csv(&columns, &rows.iter().collect::<Vec<_>>(), b',').unwrap()).unwrap();
        let least = AnswerCell::Double(-1e300);
        let expected = format!("'=x,is_video,first,y\r\n,true,2020-01-31T08:00:00.25Z,0.5\r\nb,,,{least}\r\n");
        assert_eq!(written, expected);
    }

    #[test]
    fn csv_formula_after_any_separator_is_escaped() {
        for (text, kept) in [
            ("x;=1+1", "x;'=1+1"),
            ("x,@SUM(A1)", "x,'@SUM(A1)"),
            ("x\n-1", "x\n'-1"),
            ("x; \"=1", "x; \"'=1"),
            ("  =1", "  '=1"),
            ("a-b; c+d=e", "a-b; c+d=e"),
        ] {
            assert_eq!(escape_formulas(text), kept, "{text}");
        }
        let columns = [text_column("category"), long_column("count")];
        let row = AnswerRow::new([AnswerCell::text("a;=b"), AnswerCell::Long(7)]);
        let written = String::from_utf8(render_csv(&columns, &[&row], b';').unwrap()).unwrap();
        assert_eq!(written, "category;count\r\n\"a;'=b\";7\r\n");
    }
}
