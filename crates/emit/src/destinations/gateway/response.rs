//! What a gateway's response means for each record. No I/O.
//!
//! A record is accepted only if the response says so for this record. Status 2xx is not enough: Confluent REST Proxy
//! answers 200 and gives a refused record an `error_code`. An API gateway may answer 200 with an error of Kinesis in
//! the body.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::protocol::GatewayProtocol;

/// Characters of an error text that are repeated in messages.
const MAX_ERROR_TEXT_CHARS: usize = 300;
/// The longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// What a response means for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResponseOutcome {
    /// Each record has a result of its own, in the order of the records.
    PerRecord(Vec<RecordResult>),
    /// No record was accepted. A retry can succeed, but not before the server's `Retry-After`.
    Retry(String, Option<Duration>),
    /// The request is too large. A smaller one can succeed.
    TooLarge(String),
    /// No request can succeed.
    Refused(String),
}

/// The result of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordResult {
    Accepted,
    /// It was not accepted. A retry can succeed.
    Retry(String),
    /// It will never be accepted.
    Refused(String),
}

/// Interprets the response to a request with this many records.
pub(super) fn interpret_response(
    protocol: GatewayProtocol,
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    records: usize,
) -> ResponseOutcome {
    if [400, 422].contains(&status)
        && let Some(results) = rejected_records(protocol, body, records)
    {
        return ResponseOutcome::PerRecord(results);
    }
    match status {
        200..=299 => {
            let results = match protocol {
                GatewayProtocol::Kafka => kafka_results(body),
                GatewayProtocol::Kinesis if records == 1 => kinesis_single_result(body).map(|result| vec![result]),
                GatewayProtocol::Kinesis => kinesis_results(body, records),
            };
            let strange = || {
                let kind = match protocol {
                    GatewayProtocol::Kafka => "Kafka's REST API v2",
                    GatewayProtocol::Kinesis => "Kinesis",
                };
                format!(
                    "it answers {status}, but not as {kind} does, so nothing says whether records are there; \
                     is --gateway right? {}",
                    error_text(body)
                )
            };
            results
                .filter(|results| results.len() == records)
                .map_or_else(|| ResponseOutcome::Refused(strange()), ResponseOutcome::PerRecord)
        }
        413 => ResponseOutcome::TooLarge(format!("{status}: {}", error_text(body))),
        408 | 429 | 500..=599 => ResponseOutcome::Retry(
            format!("{status}: {}", error_text(body)),
            retry_after.and_then(|after| parse_retry_after(after, Timestamp::now())),
        ),
        401 | 403 => ResponseOutcome::Refused(format!(
            "{status}: {}; a token is given with --token, or in PINFLOW_TOKEN",
            error_text(body)
        )),
        300..=399 => ResponseOutcome::Refused(format!("{status}: it points elsewhere; give that URL")),
        _ => ResponseOutcome::Refused(format!("{status}: {}", error_text(body))),
    }
}

/// The results in a 400 or 422 whose body has one for each record. None of the records is accepted.
fn rejected_records(protocol: GatewayProtocol, body: &[u8], records: usize) -> Option<Vec<RecordResult>> {
    let results = match protocol {
        GatewayProtocol::Kafka => kafka_results(body)?,
        GatewayProtocol::Kinesis => {
            let answer: Value = serde_json::from_slice(body).ok()?;
            answer["Records"].as_array().map(|each| each.iter().map(kinesis_result).collect())?
        }
    };
    (results.len() == records).then_some(results)
}

#[derive(Deserialize)]
struct KafkaProduceResponse {
    offsets: Vec<KafkaRecordOffset>,
}

#[derive(Deserialize)]
struct KafkaRecordOffset {
    offset: Option<i64>,
    error_code: Option<i64>,
    error: Option<String>,
}

/// Error codes for which a retry can succeed (REST Proxy API reference v2: 2 for a record, 50003 for a request), and
/// those of an overloaded server.
const RETRYABLE_ERROR_CODES: [i64; 4] = [2, 42_901, 50_003, 50_301];

fn kafka_results(body: &[u8]) -> Option<Vec<RecordResult>> {
    let answer: KafkaProduceResponse = serde_json::from_slice(body).ok()?;
    let result = |offset: KafkaRecordOffset| match (offset.error_code, offset.offset) {
        (None, Some(at)) if at >= 0 => RecordResult::Accepted,
        (None, _) => RecordResult::Refused(offset.error.unwrap_or_else(|| "it has no offset".to_owned())),
        (Some(code), _) => {
            let why = format!("error {code}: {}", offset.error.unwrap_or_default());
            if RETRYABLE_ERROR_CODES.contains(&code) { RecordResult::Retry(why) } else { RecordResult::Refused(why) }
        }
    };
    Some(answer.offsets.into_iter().map(result).collect())
}

/// The result of `PutRecord`.
fn kinesis_single_result(body: &[u8]) -> Option<RecordResult> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    if answer["SequenceNumber"].is_string() {
        return Some(RecordResult::Accepted);
    }
    let error = ["__type", "ErrorCode"].iter().find_map(|name| answer[*name].as_str())?;
    let message = ["message", "Message", "ErrorMessage"].iter().find_map(|name| answer[*name].as_str());
    Some(kinesis_error_result(error, message.unwrap_or_default()))
}

/// The results of `PutRecords`.
fn kinesis_results(body: &[u8], records: usize) -> Option<Vec<RecordResult>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let Some(each) = answer["Records"].as_array() else {
        return kinesis_single_result(body)
            .filter(|result| *result != RecordResult::Accepted)
            .map(|result| vec![result; records]);
    };
    Some(each.iter().map(kinesis_result).collect())
}

fn kinesis_result(record: &Value) -> RecordResult {
    match (record["SequenceNumber"].as_str(), record["ErrorCode"].as_str()) {
        (Some(_), None) => RecordResult::Accepted,
        (_, Some(error)) => kinesis_error_result(error, record["ErrorMessage"].as_str().unwrap_or_default()),
        (None, None) => RecordResult::Refused("it has no sequence number".to_owned()),
    }
}

fn kinesis_error_result(error: &str, message: &str) -> RecordResult {
    // `com.amazonaws.kinesis#ResourceNotFoundException`, or the name alone.
    let name = error.rsplit('#').next().unwrap_or(error);
    let why = format!("{name}: {message}");
    let passing = [
        "ThroughputExceeded",
        "Throttling",
        "LimitExceeded",
        "InternalFailure",
        "ServiceUnavailable",
        "InternalServerError",
    ];
    if passing.iter().any(|sign| name.contains(sign)) { RecordResult::Retry(why) } else { RecordResult::Refused(why) }
}

/// The server's message, on one line.
fn error_text(body: &[u8]) -> String {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let message =
        answer.as_ref().and_then(|answer| ["message", "Message"].iter().find_map(|name| answer[*name].as_str()));
    let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let text: String =
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_ERROR_TEXT_CHARS).collect();
    if text.is_empty() { "it does not say why".to_owned() } else { text }
}

/// Parses `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn parse_retry_after(after: &str, now: Timestamp) -> Option<Duration> {
    let secs = after.trim().parse().ok().map(Duration::from_secs).or_else(|| {
        let at = jiff::fmt::rfc2822::parse(after.trim()).ok()?.timestamp();
        Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
    });
    secs.map(|wait| wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn results(protocol: GatewayProtocol, body: &str, records: usize) -> Vec<RecordResult> {
        match interpret_response(protocol, 200, None, body.as_bytes(), records) {
            ResponseOutcome::PerRecord(results) => results,
            other => panic!("{other:?}"),
        }
    }

    fn refused(protocol: GatewayProtocol, status: u16, body: &str, records: usize) -> String {
        match interpret_response(protocol, status, None, body.as_bytes(), records) {
            ResponseOutcome::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn kafka_response_has_a_result_for_each_record() {
        let body = r#"{"key_schema_id":null,"value_schema_id":null,"offsets":[
            {"partition":0,"offset":17,"error_code":null,"error":null},
            {"partition":0,"offset":-1,"error_code":2,"error":"leader moved"},
            {"partition":null,"offset":null,"error_code":1,"error":"too large"},
            {"partition":0,"offset":-1}]}"#;
        let results = results(GatewayProtocol::Kafka, body, 4);
        assert_eq!(results[0], RecordResult::Accepted);
        assert!(matches!(&results[1], RecordResult::Retry(why) if why.contains("leader moved")));
        assert!(matches!(&results[2], RecordResult::Refused(why) if why.contains("too large")));
        assert!(matches!(&results[3], RecordResult::Refused(_)));
    }

    #[test]
    fn kinesis_response_has_a_result_for_each_record() {
        let one = r#"{"ShardId":"shardId-000000000000","SequenceNumber":"4959"}"#;
        assert_eq!(results(GatewayProtocol::Kinesis, one, 1), [RecordResult::Accepted]);
        let body = r#"{"FailedRecordCount":2,"Records":[{"ShardId":"s","SequenceNumber":"1"},
            {"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow down"},
            {"ErrorCode":"KMSDisabledException","ErrorMessage":"no"}]}"#;
        let results = results(GatewayProtocol::Kinesis, body, 3);
        assert!(
            results[0] == RecordResult::Accepted
                && matches!(&results[1], RecordResult::Retry(_))
                && matches!(&results[2], RecordResult::Refused(_))
        );
    }

    #[test]
    fn error_in_a_200_response_is_an_error() {
        let missing = r#"{"__type":"com.amazonaws.kinesis#ResourceNotFoundException","message":"Stream a not found"}"#;
        for records in [1, 3] {
            let results = results(GatewayProtocol::Kinesis, missing, records);
            assert!(results.len() == records);
            assert!(
                results.iter().all(|result| matches!(result, RecordResult::Refused(why) if why.contains("not found")))
            );
        }
        for (protocol, body, records) in [
            (GatewayProtocol::Kafka, "", 1),
            (GatewayProtocol::Kafka, "{}", 1),
            (GatewayProtocol::Kafka, r#"{"offsets":[]}"#, 1),
            (GatewayProtocol::Kafka, r#"{"offsets":[{"partition":0,"offset":1}]}"#, 2),
            (GatewayProtocol::Kinesis, r#"{"offsets":[{"partition":0,"offset":1}]}"#, 1),
            (GatewayProtocol::Kinesis, r#"{"Records":[{"SequenceNumber":"1"}]}"#, 2),
        ] {
            assert!(refused(protocol, 200, body, records).contains("is --gateway right?"), "{body}");
        }
    }

    #[test]
    fn error_response_with_results_refuses_each_record() {
        let none = r#"{"error_code":42206,"message":"no record was taken: it is too large",
            "offsets":[{"partition":null,"offset":null,"error_code":1,"error":"it is too large"}]}"#;
        let outcome = |protocol, status, body: &str, records| {
            interpret_response(protocol, status, None, body.as_bytes(), records)
        };
        let too_large = vec![RecordResult::Refused("error 1: it is too large".to_owned())];
        assert_eq!(outcome(GatewayProtocol::Kafka, 422, none, 1), ResponseOutcome::PerRecord(too_large));
        assert!(matches!(outcome(GatewayProtocol::Kafka, 422, none, 2), ResponseOutcome::Refused(_)));
        assert!(matches!(outcome(GatewayProtocol::Kafka, 503, none, 1), ResponseOutcome::Retry(..)));
        let none = r#"{"FailedRecordCount":1,"Records":[{"ErrorCode":"ValidationException","ErrorMessage":"no"}]}"#;
        assert!(matches!(outcome(GatewayProtocol::Kinesis, 400, none, 1), ResponseOutcome::PerRecord(_)));
        let all = r#"{"__type":"ValidationException","message":"no"}"#;
        assert!(matches!(outcome(GatewayProtocol::Kinesis, 400, all, 1), ResponseOutcome::Refused(_)));
    }

    #[test]
    fn overloaded_server_is_retried_after_its_retry_after() {
        let outcome =
            |status, after| interpret_response(GatewayProtocol::Kafka, status, after, b"{\"message\":\"busy\"}", 2);
        assert_eq!(
            outcome(429, Some("7")),
            ResponseOutcome::Retry("429: busy".to_owned(), Some(Duration::from_secs(7)))
        );
        assert_eq!(outcome(503, Some("soon")), ResponseOutcome::Retry("503: busy".to_owned(), None));
        assert!(matches!(outcome(504, None), ResponseOutcome::Retry(_, None)));
        assert!(matches!(outcome(413, None), ResponseOutcome::TooLarge(_)));
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("99999999", now), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn permanent_error_repeats_the_server_message() {
        let missing = refused(GatewayProtocol::Kafka, 404, r#"{"error_code":40401,"message":"Topic not found."}"#, 1);
        assert_eq!(missing, "404: Topic not found.");
        assert!(
            refused(GatewayProtocol::Kafka, 403, r#"{"message":"Missing Authentication Token"}"#, 1)
                .contains("--token")
        );
        assert_eq!(refused(GatewayProtocol::Kafka, 400, "", 1), "400: it does not say why");
        assert!(refused(GatewayProtocol::Kafka, 301, "", 1).contains("elsewhere"));
    }
}
