//! `/answers`: what is known, as of one epoch.

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerCell, AnswerColumn, AnswerRow, ColumnType};
use pinflow_dataflows::questions::{self, Question};
use serde::Serialize;

use super::SharedServingState;
use super::params::{self, AnswerParams, ReplyFormat, RowFilter};
use super::reply::{self, ApiError};
use super::shared_replies::ReplyKey;
use crate::engine::SourceStatus;
use crate::position::Epoch;
use crate::serving::answer_hub::{AnswerHub, ReadConsistency};
use crate::serving::answer_view::AnswerView;
use crate::serving::render::{self, NamedRows, as_millis};

/// All answers.
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
    columns: Vec<ColumnBody>,
    rows: NamedRows<'a>,
}

/// One answer.
#[derive(Serialize)]
struct SingleAnswerBody<'a> {
    answer: &'a str,
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    durable_epoch: Option<Epoch>,
    columns: Vec<ColumnBody>,
    rows: NamedRows<'a>,
}

/// A column, as readers learn of it.
#[derive(Serialize)]
pub(super) struct ColumnBody {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whether it groups: such columns can be filtered by.
    group: bool,
}

/// The columns of a question.
pub(super) fn column_bodies(question: &Question) -> Vec<ColumnBody> {
    let named = |(at, column): (usize, &AnswerColumn)| ColumnBody {
        name: column.name,
        kind: type_name(column.kind),
        group: at < question.group_columns(),
    };
    question.columns.iter().enumerate().map(named).collect()
}

pub(super) fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Long => "long",
        ColumnType::Text => "text",
        ColumnType::Double => "double",
    }
}

/// The question of that name, and where it stands among all.
pub(super) fn find_question(name: &str) -> Result<(usize, &'static Question), ApiError> {
    let found = questions::ALL.iter().enumerate().find(|(_, question)| question.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = questions::ALL.iter().map(|question| question.name).collect();
        let message = format!("there is no answer of that name; there are {}", names.join(", "));
        ApiError::new(StatusCode::NOT_FOUND, "unknown_answer", message)
    })
}

/// The answers, if they may be shown.
pub(super) fn readable_view(answer_hub: &AnswerHub, read: ReadConsistency) -> Result<AnswerView, ApiError> {
    let Some(view) = answer_hub.current_view(read) else {
        // Before the first epoch it is not known whether there are tables.
        return Err(if answer_hub.current_view(ReadConsistency::Live).is_some_and(|live| live.open) {
            ApiError::bad_request("this run keeps no tables, so no answer is durable; read=live")
        } else {
            not_ready()
        });
    };
    if view.open { Ok(view) } else { Err(not_ready()) }
}

pub(super) fn not_ready() -> ApiError {
    ApiError::not_ready("the answers are being rebuilt from the tables; /readyz says when they can be read")
}

/// Names what is shown: this run, this face, this epoch.
fn entity_tag(answer_hub: &AnswerHub, read: ReadConsistency, epoch: Epoch) -> String {
    let face = if read == ReadConsistency::Durable { "d" } else { "" };
    format!("\"{:x}-{face}{epoch}\"", answer_hub.run_id())
}

fn matches_tag(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// `GET /answers`
pub(super) async fn get_all_answers(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let AnswerParams { read, form, .. } = params::parse_answer_params(query.as_deref(), None)?;
    let view = readable_view(&shared.answer_hub, read)?;
    let tag = entity_tag(&shared.answer_hub, read, view.epoch);
    if matches_tag(&headers, &tag) {
        return Ok(with_entity_tag(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let rows = view.answers().map(|(_, table)| table.rows().len()).sum();
    let render = move |view: &AnswerView| render_all(view, form);
    let bytes = shared.shared_replies.render_shared(ReplyKey::AllAnswers(read, form), view, rows, render).await?;
    Ok(with_entity_tag(reply::shared_response(content_type(form), bytes), tag))
}

/// `GET /answers/{name}`
pub(super) async fn get_answer(
    State(shared): State<SharedServingState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (at, question) = find_question(&name)?;
    let AnswerParams { read, form, filter } = params::parse_answer_params(query.as_deref(), Some(question))?;
    let view = readable_view(&shared.answer_hub, read)?;
    let tag = entity_tag(&shared.answer_hub, read, view.epoch);
    if matches_tag(&headers, &tag) {
        return Ok(with_entity_tag(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let (rows, shared_replies) = (view.answer(at).rows().len(), &shared.shared_replies);
    let bytes = if filter.is_empty() {
        let key = ReplyKey::SingleAnswer(read, at, form);
        shared_replies.render_shared(key, view, rows, move |view| render_one(view, at, form, &filter)).await?
    } else {
        shared_replies.render_unshared(rows, move || render_one(&view, at, form, &filter)).await?
    };
    Ok(with_entity_tag(reply::shared_response(content_type(form), bytes), tag))
}

fn content_type(form: ReplyFormat) -> HeaderValue {
    match form {
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

fn render_all(view: &AnswerView, form: ReplyFormat) -> anyhow::Result<Vec<u8>> {
    if form == ReplyFormat::Ndjson {
        return Ok(render_ndjson(view)?);
    }
    let answers = view.answers().map(|(question, table)| AnswerBody {
        answer: question.name,
        columns: column_bodies(question),
        rows: NamedRows { columns: question.columns, rows: table.rows().collect() },
    });
    let AnswerView { epoch, as_of, durable_epoch, .. } = *view;
    let all = AllAnswersBody { epoch, as_of, durable_epoch, sources: &view.sources, answers: answers.collect() };
    Ok(serde_json::to_vec(&all)?)
}

fn render_one(view: &AnswerView, answer: usize, form: ReplyFormat, filter: &RowFilter) -> anyhow::Result<Vec<u8>> {
    let question = &questions::ALL[answer];
    let rows: Vec<&AnswerRow> = view.answer(answer).rows().filter(|row| filter.matches_row(row)).collect();
    match form {
        ReplyFormat::Csv(separator) => Ok(render_csv(question.columns, &rows, separator)?),
        ReplyFormat::Ndjson => {
            let mut lines = Vec::new();
            for row in rows {
                serde_json::to_writer(&mut lines, &row.with_columns(question.columns))?;
                lines.push(b'\n');
            }
            Ok(lines)
        }
        ReplyFormat::Json => {
            let AnswerView { epoch, as_of, durable_epoch, .. } = *view;
            let rows = NamedRows { columns: question.columns, rows };
            let one = SingleAnswerBody {
                answer: question.name,
                epoch,
                as_of,
                durable_epoch,
                columns: column_bodies(question),
                rows,
            };
            Ok(serde_json::to_vec(&one)?)
        }
    }
}

/// As on stdout.
fn render_ndjson(view: &AnswerView) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    render::write_snapshot(view, &mut lines)?;
    Ok(lines)
}

/// RFC 4180, with a header; `separator` stands between cells.
fn render_csv(columns: &[AnswerColumn], rows: &[&AnswerRow], separator: u8) -> Result<Vec<u8>, csv::Error> {
    let mut out =
        csv::WriterBuilder::new().delimiter(separator).terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    out.write_record(columns.iter().map(|column| column.name))?;
    for row in rows {
        out.write_record(row.0.iter().map(|cell| match cell {
            AnswerCell::Long(value) => value.to_string(),
            AnswerCell::Double(value) => value.to_string(),
            AnswerCell::Text(text) => escape_formulas(text),
        }))?;
    }
    out.into_inner().map_err(|error| error.into_error().into())
}

/// A text that no spreadsheet takes for a formula: a `'` goes before each of `=+-@` that begins a cell.
///
/// Cells begin after a separator, too, and which one a spreadsheet splits at depends on its language, whatever the file
/// was written with: `x;=1+1` is one cell here and two cells there, and quotes help only where the first cell has them.
fn escape_formulas(text: &str) -> String {
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
    use pinflow_dataflows::answer::{long_column, text_column};

    use super::*;

    #[test]
    fn cells_that_steer_a_spreadsheet_are_disarmed_and_others_stay() {
        let columns = [text_column("category"), long_column("count")];
        let texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "a,b", "say \"x\"", "two\nlines", "art"];
        let rows: Vec<AnswerRow> =
            texts.iter().map(|text| AnswerRow(Box::new([AnswerCell::text(text), AnswerCell::Long(-3)]))).collect();
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
    fn formula_behind_any_separator_is_disarmed_whatever_the_file_is_separated_by() {
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
        let row = AnswerRow(Box::new([AnswerCell::text("a;=b"), AnswerCell::Long(7)]));
        let written = String::from_utf8(render_csv(&columns, &[&row], b';').unwrap()).unwrap();
        assert_eq!(written, "category;count\r\n\"a;'=b\";7\r\n");
    }
}
