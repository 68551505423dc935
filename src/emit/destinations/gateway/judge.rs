//! What a gateway's answer means for each record. No I/O here.
//!
//! Only what the answer says of a record itself counts as taken: a 2xx alone says nothing. Confluent's REST Proxy answers
//! 200 and gives a refused record an `error_code`; an API gateway in front of Kinesis may answer 200 with Kinesis' own
//! error in the body.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::bodies::Bodies;

/// Words of an answer that are repeated.
const SAID_MAX: usize = 300;
/// No server is believed when it asks for a longer wait.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// What became of the records of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Each record has its fate, in their order.
    Fates(Vec<Fate>),
    /// None was taken; the same request may go well later, not before the wait that the server asks for.
    Again(String, Option<Duration>),
    /// The request is too large; smaller ones may go well.
    TooLarge(String),
    /// No request will go well.
    Refused(String),
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there.
    Taken,
    /// It was not taken this time.
    Again(String),
    /// It will not be taken.
    Refused(String),
}

/// Judges an answer to a request with so many records.
pub(super) fn judge(bodies: Bodies, status: u16, retry_after: Option<&str>, body: &[u8], records: usize) -> Verdict {
    if [400, 422].contains(&status)
        && let Some(fates) = each_refused(bodies, body, records)
    {
        return Verdict::Fates(fates);
    }
    match status {
        200..=299 => {
            let fates = match bodies {
                Bodies::Kafka => kafka(body),
                Bodies::Kinesis if records == 1 => kinesis_one(body).map(|fate| vec![fate]),
                Bodies::Kinesis => kinesis_all(body, records),
            };
            let strange = || {
                let kind = match bodies {
                    Bodies::Kafka => "Kafka's REST API v2",
                    Bodies::Kinesis => "Kinesis",
                };
                format!(
                    "it answers {status}, but not as {kind} does, so nothing says whether records are there; \
                     is --gateway right? {}",
                    said(body)
                )
            };
            fates.filter(|fates| fates.len() == records).map_or_else(|| Verdict::Refused(strange()), Verdict::Fates)
        }
        413 => Verdict::TooLarge(format!("{status}: {}", said(body))),
        408 | 429 | 500..=599 => Verdict::Again(
            format!("{status}: {}", said(body)),
            retry_after.and_then(|after| wait(after, Timestamp::now())),
        ),
        401 | 403 => {
            Verdict::Refused(format!("{status}: {}; a token is given with --token, or in PINFLOW_TOKEN", said(body)))
        }
        300..=399 => Verdict::Refused(format!("{status}: it points elsewhere; give that URL")),
        _ => Verdict::Refused(format!("{status}: {}", said(body))),
    }
}

/// What became of each record where, beside an error, the server says so: none of them is there, and why may differ.
fn each_refused(bodies: Bodies, body: &[u8], records: usize) -> Option<Vec<Fate>> {
    let fates = match bodies {
        Bodies::Kafka => kafka(body)?,
        Bodies::Kinesis => {
            let answer: Value = serde_json::from_slice(body).ok()?;
            answer["Records"].as_array().map(|each| each.iter().map(kinesis_record).collect())?
        }
    };
    (fates.len() == records).then_some(fates)
}

#[derive(Deserialize)]
struct KafkaAnswer {
    offsets: Vec<KafkaOffset>,
}

#[derive(Deserialize)]
struct KafkaOffset {
    offset: Option<i64>,
    error_code: Option<i64>,
    error: Option<String>,
}

/// Codes of errors that may pass (REST Proxy API reference v2: 2 in a record, 50003 elsewhere), and those of a server
/// that has too much to do.
const MAY_PASS: [i64; 4] = [2, 42_901, 50_003, 50_301];

fn kafka(body: &[u8]) -> Option<Vec<Fate>> {
    let answer: KafkaAnswer = serde_json::from_slice(body).ok()?;
    let fate = |offset: KafkaOffset| match (offset.error_code, offset.offset) {
        (None, Some(at)) if at >= 0 => Fate::Taken,
        (None, _) => Fate::Refused(offset.error.unwrap_or_else(|| "it has no offset".to_owned())),
        (Some(code), _) => {
            let why = format!("error {code}: {}", offset.error.unwrap_or_default());
            if MAY_PASS.contains(&code) { Fate::Again(why) } else { Fate::Refused(why) }
        }
    };
    Some(answer.offsets.into_iter().map(fate).collect())
}

/// Kinesis' `PutRecord`.
fn kinesis_one(body: &[u8]) -> Option<Fate> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    if answer["SequenceNumber"].is_string() {
        return Some(Fate::Taken);
    }
    let error = ["__type", "ErrorCode"].iter().find_map(|name| answer[*name].as_str())?;
    let message = ["message", "Message", "ErrorMessage"].iter().find_map(|name| answer[*name].as_str());
    Some(kinesis_error(error, message.unwrap_or_default()))
}

/// Kinesis' `PutRecords`.
fn kinesis_all(body: &[u8], records: usize) -> Option<Vec<Fate>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let Some(each) = answer["Records"].as_array() else {
        return kinesis_one(body).filter(|fate| *fate != Fate::Taken).map(|fate| vec![fate; records]);
    };
    Some(each.iter().map(kinesis_record).collect())
}

fn kinesis_record(record: &Value) -> Fate {
    match (record["SequenceNumber"].as_str(), record["ErrorCode"].as_str()) {
        (Some(_), None) => Fate::Taken,
        (_, Some(error)) => kinesis_error(error, record["ErrorMessage"].as_str().unwrap_or_default()),
        (None, None) => Fate::Refused("it has no sequence number".to_owned()),
    }
}

fn kinesis_error(error: &str, message: &str) -> Fate {
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
    if passing.iter().any(|sign| name.contains(sign)) { Fate::Again(why) } else { Fate::Refused(why) }
}

/// What the server says, in its words.
fn said(body: &[u8]) -> String {
    let fault: Option<Value> = serde_json::from_slice(body).ok();
    let message = fault.as_ref().and_then(|fault| ["message", "Message"].iter().find_map(|name| fault[*name].as_str()));
    let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SAID_MAX).collect();
    if text.is_empty() { "it does not say why".to_owned() } else { text }
}

/// A `Retry-After`: seconds, or a moment (RFC 9110, 10.2.3).
fn wait(after: &str, now: Timestamp) -> Option<Duration> {
    let secs = after.trim().parse().ok().map(Duration::from_secs).or_else(|| {
        let at = jiff::fmt::rfc2822::parse(after.trim()).ok()?.timestamp();
        Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
    });
    secs.map(|wait| wait.min(WAIT_MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fates(bodies: Bodies, body: &str, records: usize) -> Vec<Fate> {
        match judge(bodies, 200, None, body.as_bytes(), records) {
            Verdict::Fates(fates) => fates,
            other => panic!("{other:?}"),
        }
    }

    fn refused(bodies: Bodies, status: u16, body: &str, records: usize) -> String {
        match judge(bodies, status, None, body.as_bytes(), records) {
            Verdict::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_record_of_kafka_is_judged_alone() {
        let body = r#"{"key_schema_id":null,"value_schema_id":null,"offsets":[
            {"partition":0,"offset":17,"error_code":null,"error":null},
            {"partition":0,"offset":-1,"error_code":2,"error":"leader moved"},
            {"partition":null,"offset":null,"error_code":1,"error":"too large"},
            {"partition":0,"offset":-1}]}"#;
        let fates = fates(Bodies::Kafka, body, 4);
        assert_eq!(fates[0], Fate::Taken);
        assert!(matches!(&fates[1], Fate::Again(why) if why.contains("leader moved")));
        assert!(matches!(&fates[2], Fate::Refused(why) if why.contains("too large")));
        assert!(matches!(&fates[3], Fate::Refused(_)));
    }

    #[test]
    fn each_record_of_kinesis_is_judged_alone() {
        let one = r#"{"ShardId":"shardId-000000000000","SequenceNumber":"4959"}"#;
        assert_eq!(fates(Bodies::Kinesis, one, 1), [Fate::Taken]);
        let body = r#"{"FailedRecordCount":2,"Records":[{"ShardId":"s","SequenceNumber":"1"},
            {"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow down"},
            {"ErrorCode":"KMSDisabledException","ErrorMessage":"no"}]}"#;
        let fates = fates(Bodies::Kinesis, body, 3);
        assert!(
            fates[0] == Fate::Taken && matches!(&fates[1], Fate::Again(_)) && matches!(&fates[2], Fate::Refused(_))
        );
    }

    #[test]
    fn an_error_that_comes_as_200_is_one() {
        let missing = r#"{"__type":"com.amazonaws.kinesis#ResourceNotFoundException","message":"Stream a not found"}"#;
        for records in [1, 3] {
            let fates = fates(Bodies::Kinesis, missing, records);
            assert!(fates.len() == records);
            assert!(fates.iter().all(|fate| matches!(fate, Fate::Refused(why) if why.contains("not found"))));
        }
        for (bodies, body, records) in [
            (Bodies::Kafka, "", 1),
            (Bodies::Kafka, "{}", 1),
            (Bodies::Kafka, r#"{"offsets":[]}"#, 1),
            (Bodies::Kafka, r#"{"offsets":[{"partition":0,"offset":1}]}"#, 2),
            (Bodies::Kinesis, r#"{"offsets":[{"partition":0,"offset":1}]}"#, 1),
            (Bodies::Kinesis, r#"{"Records":[{"SequenceNumber":"1"}]}"#, 2),
        ] {
            assert!(refused(bodies, 200, body, records).contains("is --gateway right?"), "{body}");
        }
    }

    #[test]
    fn what_an_error_says_of_each_record_counts() {
        let none = r#"{"error_code":42206,"message":"no record was taken: it is too large",
            "offsets":[{"partition":null,"offset":null,"error_code":1,"error":"it is too large"}]}"#;
        let verdict = |bodies, status, body: &str, records| judge(bodies, status, None, body.as_bytes(), records);
        let too_large = vec![Fate::Refused("error 1: it is too large".to_owned())];
        assert_eq!(verdict(Bodies::Kafka, 422, none, 1), Verdict::Fates(too_large));
        assert!(matches!(verdict(Bodies::Kafka, 422, none, 2), Verdict::Refused(_)));
        assert!(matches!(verdict(Bodies::Kafka, 503, none, 1), Verdict::Again(..)));
        let none = r#"{"FailedRecordCount":1,"Records":[{"ErrorCode":"ValidationException","ErrorMessage":"no"}]}"#;
        assert!(matches!(verdict(Bodies::Kinesis, 400, none, 1), Verdict::Fates(_)));
        let all = r#"{"__type":"ValidationException","message":"no"}"#;
        assert!(matches!(verdict(Bodies::Kinesis, 400, all, 1), Verdict::Refused(_)));
    }

    #[test]
    fn what_may_pass_is_tried_again_when_the_server_says() {
        let verdict = |status, after| judge(Bodies::Kafka, status, after, b"{\"message\":\"busy\"}", 2);
        assert_eq!(verdict(429, Some("7")), Verdict::Again("429: busy".to_owned(), Some(Duration::from_secs(7))));
        assert_eq!(verdict(503, Some("soon")), Verdict::Again("503: busy".to_owned(), None));
        assert!(matches!(verdict(504, None), Verdict::Again(_, None)));
        assert!(matches!(verdict(413, None), Verdict::TooLarge(_)));
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait("99999999", now), Some(WAIT_MAX));
    }

    #[test]
    fn what_will_not_pass_ends_with_the_servers_words() {
        let missing = refused(Bodies::Kafka, 404, r#"{"error_code":40401,"message":"Topic not found."}"#, 1);
        assert_eq!(missing, "404: Topic not found.");
        assert!(refused(Bodies::Kafka, 403, r#"{"message":"Missing Authentication Token"}"#, 1).contains("--token"));
        assert_eq!(refused(Bodies::Kafka, 400, "", 1), "400: it does not say why");
        assert!(refused(Bodies::Kafka, 301, "", 1).contains("elsewhere"));
    }
}
