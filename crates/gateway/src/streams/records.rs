//! Parses the records of a request to a stream, in the formats of the mapping templates of Amazon's tutorial ("Create a REST
//! API as an Amazon Kinesis proxy") and of the system that pinflow replaces.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::value::RawValue;

use super::error::StreamsApiError;
use crate::json_text::{strip_whitespace, truncate_message};
use pinflow_kinesis::PutEntry;

/// Most records of one request, as for Kinesis.
pub(super) const MAX_RECORDS_PER_REQUEST: usize = 500;

/// The body of `PUT /streams/‹name›/record`, and a record of `/records`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamRecordBody<'a> {
    #[serde(default, rename = "StreamName", alias = "stream-name", alias = "streamName")]
    stream: Option<String>,
    #[serde(borrow, rename = "Data", alias = "data")]
    data: &'a RawValue,
    #[serde(rename = "PartitionKey", alias = "partition-key", alias = "partitionKey", alias = "partition_key")]
    key: TextOrNumber,
    #[serde(
        default,
        rename = "ExplicitHashKey",
        alias = "explicit-hash-key",
        alias = "explicitHashKey",
        alias = "explicit_hash_key"
    )]
    explicit_hash_key: Option<TextOrNumber>,
}

/// A string, or a number with its digits as written. Amazon's templates accept both.
#[derive(Debug, PartialEq, Eq)]
struct TextOrNumber(String);

impl<'de> Deserialize<'de> for TextOrNumber {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TextOrNumber, D::Error> {
        let raw = <&RawValue>::deserialize(from)?.get();
        match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw).map(TextOrNumber).map_err(D::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(TextOrNumber(raw.to_owned())),
            _ => Err(D::Error::custom("PartitionKey and ExplicitHashKey must be strings or numbers")),
        }
    }
}

/// The body of `PUT /streams/‹name›/records`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutRecordsBody<'a> {
    #[serde(default, rename = "StreamName", alias = "stream-name", alias = "streamName")]
    stream: Option<String>,
    #[serde(borrow, rename = "Records", alias = "records")]
    records: Vec<&'a RawValue>,
}

/// Parses the body of `/record`. The record's bytes are the JSON text of `Data`, a string with its quotes, as of
/// `$input.json('$.Data')`.
///
/// # Errors
/// If the body is invalid.
pub(super) fn parse_record(body: &[u8], stream: &str) -> Result<PutEntry, StreamsApiError> {
    let written: StreamRecordBody<'_> = serde_json::from_slice(body).map_err(|error| json_error(&error))?;
    check_stream_name(written.stream.as_deref(), stream).map_err(StreamsApiError::invalid)?;
    let data = strip_whitespace(written.data.get());
    build_put(written.key, written.explicit_hash_key, data).map_err(StreamsApiError::invalid)
}

/// Parses the body of `/records`. Each record succeeds or fails on its own. Its bytes are the data without quotes if that is
/// a string, as of `$elem.data`, and its JSON text otherwise.
///
/// # Errors
/// If the body is invalid.
pub(super) fn parse_records(body: &[u8], stream: &str) -> Result<Vec<Result<PutEntry, String>>, StreamsApiError> {
    let many: PutRecordsBody<'_> = serde_json::from_slice(body).map_err(|error| json_error(&error))?;
    check_stream_name(many.stream.as_deref(), stream).map_err(StreamsApiError::invalid)?;
    if many.records.is_empty() || many.records.len() > MAX_RECORDS_PER_REQUEST {
        return Err(StreamsApiError::invalid(format!(
            "1 to {MAX_RECORDS_PER_REQUEST} records are allowed, not {}",
            many.records.len()
        )));
    }
    Ok(many.records.into_iter().map(|record| parse_element(record, stream)).collect())
}

fn parse_element(record: &RawValue, stream: &str) -> Result<PutEntry, String> {
    let written: StreamRecordBody<'_> =
        serde_json::from_str(record.get()).map_err(|error| truncate_message(error.to_string()))?;
    check_stream_name(written.stream.as_deref(), stream)?;
    let data = match serde_json::from_str::<String>(written.data.get()) {
        Ok(text) => text.into_bytes(),
        Err(_) => strip_whitespace(written.data.get()),
    };
    build_put(written.key, written.explicit_hash_key, data)
}

fn build_put(key: TextOrNumber, explicit_hash_key: Option<TextOrNumber>, data: Vec<u8>) -> Result<PutEntry, String> {
    let key = key.0;
    if !(1..=256).contains(&key.chars().count()) {
        return Err("PartitionKey must have 1 to 256 characters".to_owned());
    }
    let explicit_hash_key = explicit_hash_key.map(|hash_key| hash_key.0);
    // Hash keys are 128-bit numbers.
    if explicit_hash_key.as_ref().is_some_and(|hash_key| !is_plain_decimal(hash_key)) {
        return Err(format!("ExplicitHashKey must be a whole number from 0 to {}", u128::MAX));
    }
    Ok(PutEntry { key, explicit_hash_key, data })
}

fn is_plain_decimal(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_digit()) && text.parse::<u128>().is_ok()
}

/// A `StreamName` in the body must equal the stream in the path.
fn check_stream_name(given: Option<&str>, stream: &str) -> Result<(), String> {
    match given.filter(|given| *given != stream) {
        None => Ok(()),
        Some(given) => Err(format!("StreamName is {}, but the path has {stream}", truncate_message(given))),
    }
}

fn json_error(error: &serde_json::Error) -> StreamsApiError {
    match error.classify() {
        serde_json::error::Category::Data => StreamsApiError::invalid(truncate_message(error.to_string())),
        _ => StreamsApiError::unreadable(truncate_message(format!("the body is not JSON: {error}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn expected_put(key: &str, data: &str) -> PutEntry {
        PutEntry { key: key.to_owned(), explicit_hash_key: None, data: data.as_bytes().to_vec() }
    }

    #[test]
    fn partition_and_hash_keys_may_be_strings_or_numbers() {
        let body = |key: &str, hash_key: &str| {
            let body = format!(r#"{{"Data":1,"PartitionKey":{key},"ExplicitHashKey":{hash_key}}}"#);
            parse_record(body.as_bytes(), "s").map_err(|error| error.message)
        };
        let put_to = |key: &str, hash_key: &str| PutEntry {
            explicit_hash_key: Some(hash_key.to_owned()),
            ..expected_put(key, "1")
        };
        assert_eq!(body("7", "\"0\"").unwrap(), put_to("7", "0"));
        assert_eq!(body("-1.50", "340282366920938463463374607431768211455").unwrap().key, "-1.50");
        assert_eq!(body("\"a\\u00e9\"", "12").unwrap(), put_to("aé", "12"));
        assert_eq!(body("\"k\"", "null").unwrap(), expected_put("k", "1"));
        for wrong in ["\"\"", "-1", "1.5", "\"x\"", "340282366920938463463374607431768211456", "true", "\"+1\""] {
            assert!(body("\"k\"", wrong).unwrap_err().contains("ExplicitHashKey"), "{wrong}");
        }
        for wrong in ["null", "true", "{}", "[7]"] {
            assert!(body(wrong, "null").unwrap_err().contains("PartitionKey"), "{wrong}");
        }
        let many = parse_records(br#"{"records":[{"data":1,"partition-key":7,"explicit-hash-key":5}]}"#, "s").unwrap();
        assert_eq!(many, [Ok(put_to("7", "5"))]);
    }

    #[test]
    fn data_keeps_its_json_text() {
        let body = br#"{"StreamName": "s", "Data": {"ind": 7, "a": 1.0}, "PartitionKey": "k"}"#;
        assert_eq!(parse_record(body, "s").unwrap(), expected_put("k", r#"{"ind":7,"a":1.0}"#));
        let text = br#"{"Data":"{\"ind\":7}","PartitionKey":"k"}"#;
        assert_eq!(parse_record(text, "s").unwrap(), expected_put("k", r#""{\"ind\":7}""#));
        assert_eq!(
            parse_records(br#"{"records":[{"data":"{\"ind\":7}","partition-key":"k"}]}"#, "s").unwrap(),
            [Ok(expected_put("k", "{\"ind\":7}"))]
        );
    }

    #[test]
    fn invalid_record_does_not_affect_others() {
        let body = br#"{"Records":[{"Data":{"a":1},"PartitionKey":"k"},{"Data":1},{"Data":1,"PartitionKey":""},{"Dat":1,"PartitionKey":"k"},7,{"StreamName":"other","Data":1,"PartitionKey":"k"}]}"#;
        let records = parse_records(body, "s").unwrap();
        assert_eq!(records[0], Ok(expected_put("k", r#"{"a":1}"#)));
        for (at, why) in [(1, "PartitionKey"), (2, "256"), (3, "Dat"), (4, "7"), (5, "other")] {
            assert!(records[at].as_ref().unwrap_err().contains(why), "{:?}", records[at]);
        }
    }

    #[test]
    fn invalid_body_is_rejected_with_the_matching_error() {
        let kind = |body: &str| {
            (
                parse_record(body.as_bytes(), "s").unwrap_err().kind,
                parse_records(body.as_bytes(), "s").unwrap_err().kind,
            )
        };
        assert_eq!(kind("{"), ("SerializationException", "SerializationException"));
        assert_eq!(kind("{}"), ("ValidationException", "ValidationException"));
        assert_eq!(kind("[1]"), ("ValidationException", "ValidationException"));
        assert_eq!(parse_records(br#"{"records":[]}"#, "s").unwrap_err().kind, "ValidationException");
        let wrong = br#"{"StreamName":"other","Data":1,"PartitionKey":"k"}"#;
        assert!(parse_record(wrong, "s").unwrap_err().message.contains("other"));
        let much = format!("{{\"records\":[{}]}}", vec!["1"; MAX_RECORDS_PER_REQUEST + 1].join(","));
        assert!(parse_records(much.as_bytes(), "s").unwrap_err().message.contains("501"));
    }
}
