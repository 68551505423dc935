//! `POST /verification`: what `pinflow verify` has found about the answers of this run.
//!
//! `/status`, the page and the metrics show the last result. It is kept in memory: it is about the answers of this
//! process, and a restart computes them again.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use pinflow_dataflows::questions::QuestionName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::SharedServingState;
use super::openapi::{
    array_schema, count_schema, json_content_object, object_schema, operation_object, text_schema, timestamp_schema,
    with_description,
};
use super::params::require_no_params;
use super::reply::{self, ApiError};
use super::request_body::read_body;
use crate::answer_hub::ReadConsistency;
use crate::render::as_millis;
use pinflow_core::position::Epoch;

/// The largest result, bytes: that of some thousand answers.
const MAX_RESULT_BYTES: usize = 256 << 10;

/// A result as `pinflow verify` sends it. Fields that a later version adds are ignored.
#[derive(Debug, Deserialize)]
struct SentVerification {
    /// `started_at` of the run whose answers were compared.
    started_at: String,
    epoch: Epoch,
    as_of: String,
    rows_read: u64,
    seconds: f64,
    answers: Vec<SentVerdict>,
}

/// What was found about an answer.
#[derive(Debug, Deserialize)]
struct SentVerdict {
    answer: String,
    result: VerificationVerdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum VerificationVerdict {
    Equal,
    Different,
    Skipped,
}

/// The last result, as `/status` shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LastVerification {
    /// When the result arrived.
    #[serde(serialize_with = "as_millis")]
    pub(super) verified_at: Timestamp,
    /// The epoch of the answers that were compared.
    epoch: Epoch,
    #[serde(serialize_with = "as_millis")]
    as_of: Timestamp,
    /// Rows of the tables that were read.
    rows_read: u64,
    /// How long it took.
    pub(super) seconds: f64,
    /// Numbers of answers.
    pub(super) equal: usize,
    pub(super) different: usize,
    pub(super) skipped: usize,
    /// Names of answers.
    different_answers: Vec<String>,
    skipped_answers: Vec<String>,
}

impl LastVerification {
    fn new(sent: SentVerification, as_of: Timestamp, verified_at: Timestamp) -> LastVerification {
        let SentVerification { epoch, rows_read, seconds, answers, .. } = sent;
        let names_with = |result| {
            let chosen = answers.iter().filter(move |of| of.result == result);
            chosen.map(|of| of.answer.clone()).collect::<Vec<_>>()
        };
        let (different_answers, skipped_answers) =
            (names_with(VerificationVerdict::Different), names_with(VerificationVerdict::Skipped));
        LastVerification {
            verified_at,
            epoch,
            as_of,
            rows_read,
            seconds,
            equal: answers.len() - different_answers.len() - skipped_answers.len(),
            different: different_answers.len(),
            skipped: skipped_answers.len(),
            different_answers,
            skipped_answers,
        }
    }
}

/// `POST /verification`
pub(super) async fn post_verification(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, ApiError> {
    require_no_params(query.as_deref())?;
    if !shared.changes_are_guarded {
        let message = "results are accepted with the admin token only; add tokens = { admin = \"env:PINFLOW_ADMIN\" } \
                       under [serve]";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "no_admin_token", message));
    }
    let bytes = read_body(body, MAX_RESULT_BYTES, "the result of a verification").await?;
    let (sent, as_of) = parse_result(&bytes)?;
    // The epochs of each process begin at 0 again, so those of another run would mean nothing here.
    let durable = shared.answer_hub.current_view(ReadConsistency::Durable).map(|view| view.epoch);
    let is_of_this_run = is_same_moment(&sent.started_at, shared.started_at);
    if !is_of_this_run || durable.is_none_or(|durable| sent.epoch > durable) {
        let message = "the result is not about durable answers of this run; it may have been restarted. Verify again";
        return Err(ApiError::new(StatusCode::CONFLICT, "other_run", message));
    }
    let verification = LastVerification::new(sent, as_of, Timestamp::now());
    if verification.different > 0 {
        let answers = verification.different_answers.join(", ");
        tracing::error!(
            epoch = verification.epoch,
            answers,
            hint = "`pinflow verify` prints the rows that differ; `pinflow table --verify --deep` checks the tables",
            "a verification found answers that differ from the tables"
        );
    }
    *shared.verification.lock() = Some(verification.clone());
    Ok(reply::json_response(&verification))
}

/// Reads a result, and the time of its answers.
fn parse_result(bytes: &[u8]) -> Result<(SentVerification, Timestamp), ApiError> {
    let wrong = |what: String| ApiError::bad_request(format!("this is no result of a verification: {what}"));
    let sent: SentVerification = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
    let as_of = sent.as_of.parse::<Timestamp>().map_err(|error| wrong(format!("as_of: {error}")))?;
    sent.started_at.parse::<Timestamp>().map_err(|error| wrong(format!("started_at: {error}")))?;
    if sent.seconds < 0.0 {
        return Err(wrong("seconds are negative".to_owned()));
    }
    if let Some(of) = sent.answers.iter().find(|of| QuestionName::parse(&of.answer).is_err()) {
        return Err(wrong(format!("{:?} is no name of an answer", of.answer)));
    }
    Ok((sent, as_of))
}

/// Whether a text is this moment, to the millisecond.
fn is_same_moment(text: &str, at: Timestamp) -> bool {
    text.parse::<Timestamp>().is_ok_and(|found| found.as_millisecond() == at.as_millisecond())
}

/// Schema of the last result in `/status`.
pub(super) fn last_verification_schema() -> Value {
    let names = array_schema(&text_schema());
    object_schema([
        ("verified_at", timestamp_schema()),
        ("epoch", with_description(count_schema(), "The epoch of the durable answers that were compared")),
        ("as_of", timestamp_schema()),
        ("rows_read", with_description(count_schema(), "Rows of the tables")),
        ("seconds", json!({ "type": "number", "minimum": 0 })),
        ("equal", with_description(count_schema(), "Answers that equal the tables")),
        ("different", with_description(count_schema(), "Answers that do not")),
        ("skipped", with_description(count_schema(), "Answers that were not compared")),
        ("different_answers", names.clone()),
        ("skipped_answers", names),
    ])
}

/// Adds the route of results.
pub(super) fn add_verification_path(paths: &mut Map<String, Value>) {
    let verdict = object_schema([
        ("answer", json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$" })),
        ("result", json!({ "enum": ["equal", "different", "skipped"] })),
    ]);
    let sent = object_schema([
        ("started_at", with_description(timestamp_schema(), "`started_at` of the run that was verified")),
        ("epoch", count_schema()),
        ("as_of", timestamp_schema()),
        ("rows_read", count_schema()),
        ("seconds", json!({ "type": "number", "minimum": 0 })),
        ("answers", array_schema(&verdict)),
    ]);
    let shown = json_content_object("What `/status` shows from now on", last_verification_schema());
    let mut operation = operation_object("Show the result of a verification (admin)", &[], &[("200", &shown)]);
    operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": sent } } });
    paths.insert("/verification".to_owned(), json!({ "post": operation }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn result_json() -> Value {
        let verdict = |answer: &str, result: &str| json!({ "answer": answer, "result": result });
        json!({
            "started_at": "2026-01-02T03:04:05.678Z",
            "epoch": 7,
            "as_of": "2026-01-02T03:04:06Z",
            "rows_read": 12,
            "seconds": 0.5,
            "answers": [verdict("one", "equal"), verdict("two", "different"), verdict("three", "skipped"), verdict("four", "equal")],
            "added_later": true,
        })
    }

    #[test]
    fn result_is_counted_by_verdict_and_names_the_answers_that_are_not_equal() {
        let (sent, as_of) = parse_result(result_json().to_string().as_bytes()).unwrap();
        assert!(is_same_moment("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678901Z".parse().unwrap()));
        assert!(!is_same_moment(&sent.started_at, "2026-01-02T03:04:05.679Z".parse().unwrap()));
        let last = LastVerification::new(sent, as_of, Timestamp::UNIX_EPOCH);
        assert_eq!((last.epoch, last.equal, last.different, last.skipped), (7, 2, 1, 1));
        assert_eq!((last.different_answers, last.skipped_answers), (vec!["two".to_owned()], vec!["three".to_owned()]));
    }

    #[test]
    fn result_with_a_missing_or_wrong_field_is_refused() {
        let wrong = |field: &str, value: Value| {
            let mut result = result_json();
            result[field] = value;
            parse_result(result.to_string().as_bytes()).unwrap_err().status
        };
        let hostile = json!([{ "answer": "<b>", "result": "equal" }]);
        let unknown = json!([{ "answer": "one", "result": "better" }]);
        for (field, value) in [
            ("started_at", json!("yesterday")),
            ("epoch", json!(-1)),
            ("as_of", json!(null)),
            ("rows_read", json!("12")),
            ("seconds", json!(-0.5)),
            ("answers", hostile),
            ("answers", unknown),
        ] {
            assert_eq!(wrong(field, value.clone()), StatusCode::BAD_REQUEST, "{field} {value}");
        }
        for text in ["", "[]", "{}", "\u{fffd}"] {
            assert_eq!(parse_result(text.as_bytes()).unwrap_err().status, StatusCode::BAD_REQUEST, "{text}");
        }
    }
}
