//! Parses the records of a produce request: `{"records":[{"key":…,"value":…,"partition":…}]}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::TopicsApiError;
use crate::error::GatewayError;
use crate::json_text::{strip_whitespace, truncate_message};
use pinflow_kafka::OutgoingRecord;

/// How keys and values are embedded in the request (the REST Proxy's "embedded format").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EmbeddedFormat {
    /// JSON. The JSON text is stored.
    Json,
    /// Bytes in base64.
    Binary,
}

/// Parses the embedded format from a content type, such as `application/vnd.kafka.json.v2+json`.
pub(super) fn parse_embedded_format(content_type: Option<&str>) -> Result<EmbeddedFormat, TopicsApiError> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/vnd.kafka.json.v2+json" | "application/vnd.kafka.json+json" => Ok(EmbeddedFormat::Json),
        // Types without an embedded format mean binary, as for the REST Proxy.
        "application/vnd.kafka.binary.v2+json"
        | "application/vnd.kafka.binary+json"
        | "application/vnd.kafka.v2+json"
        | "application/vnd.kafka+json"
        | "application/json" => Ok(EmbeddedFormat::Binary),
        _ => Err(TopicsApiError::unsupported_type()),
    }
}

/// The body of a produce request. Schemas are ignored, as the REST Proxy does for these formats.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProduceBody<'a> {
    #[serde(borrow)]
    records: Option<RawRecords<'a>>,
    #[serde(default, rename = "key_schema")]
    _key_schema: Option<&'a RawValue>,
    #[serde(default, rename = "key_schema_id")]
    _key_schema_id: Option<&'a RawValue>,
    #[serde(default, rename = "value_schema")]
    _value_schema: Option<&'a RawValue>,
    #[serde(default, rename = "value_schema_id")]
    _value_schema_id: Option<&'a RawValue>,
}

/// The largest `records_max` that a configuration allows. Further records are counted and not kept.
const MAX_KEPT_RECORDS: usize = 100_000;

/// The unparsed records of a body.
#[derive(Default)]
struct RawRecords<'a> {
    kept: Vec<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawRecords<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RawRecords<'a>, D::Error> {
        struct RecordsVisitor;
        impl<'de> Visitor<'de> for RecordsVisitor {
            type Value = RawRecords<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an array of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<RawRecords<'de>, A::Error> {
                let mut all = RawRecords::default();
                while let Some(record) = records.next_element::<&RawValue>()? {
                    all.count += 1;
                    if all.count <= MAX_KEPT_RECORDS {
                        all.kept.push(record);
                    }
                }
                Ok(all)
            }
        }
        from.deserialize_seq(RecordsVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProduceRecord<'a> {
    #[serde(default, borrow)]
    key: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "explicit_null")]
    value: Option<Option<&'a RawValue>>,
    #[serde(default)]
    partition: Option<i32>,
}

/// Distinguishes `null` from a missing field.
fn explicit_null<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Option<&'a RawValue>>, D::Error> {
    Option::<&'a RawValue>::deserialize(from).map(Some)
}

/// Splits a body into its unparsed records, 1 to `records_max`.
///
/// # Errors
/// If the body is invalid or has more records.
pub(super) fn split_records(body: &[u8], records_max: usize) -> Result<Vec<&RawValue>, TopicsApiError> {
    let produce: ProduceBody<'_> = serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => TopicsApiError::unprocessable(truncate_message(error.to_string())),
        _ => TopicsApiError::unreadable(truncate_message(format!("the body is not JSON: {error}"))),
    })?;
    match produce.records {
        None => Err(TopicsApiError::unprocessable("records may not be null")),
        Some(records) if records.count == 0 => Err(TopicsApiError::unprocessable("records may not be empty")),
        Some(records) if records.count > records_max => Err(GatewayError::TooManyRecords(records_max).into()),
        Some(records) => Ok(records.kept),
    }
}

/// Parses records. Each one succeeds or fails on its own.
pub(super) fn parse_records(records: &[&RawValue], embedded: EmbeddedFormat) -> Vec<Result<OutgoingRecord, String>> {
    records.iter().map(|record| parse_record(record, embedded).map_err(truncate_message)).collect()
}

fn parse_record(record: &RawValue, embedded: EmbeddedFormat) -> Result<OutgoingRecord, String> {
    let written: ProduceRecord<'_> =
        serde_json::from_str(record.get()).map_err(|error| format!("the record: {error}"))?;
    let Some(value) = written.value else { return Err("the record has no value".to_owned()) };
    let bytes = |what: &str, json: Option<&RawValue>| {
        json.map(|json| decode_field(json, embedded).map_err(|why| format!("the record's {what}: {why}"))).transpose()
    };
    Ok(OutgoingRecord { key: bytes("key", written.key)?, value: bytes("value", value)?, partition: written.partition })
}

fn decode_field(json: &RawValue, embedded: EmbeddedFormat) -> Result<Vec<u8>, String> {
    match embedded {
        EmbeddedFormat::Json => Ok(strip_whitespace(json.get())),
        EmbeddedFormat::Binary => {
            let text: String = serde_json::from_str(json.get()).map_err(|_| {
                "a string in base64 is expected; for JSON send Content-Type application/vnd.kafka.json.v2+json"
                    .to_owned()
            })?;
            STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse_body(
        body: &[u8],
        embedded: EmbeddedFormat,
    ) -> Result<Vec<Result<OutgoingRecord, String>>, TopicsApiError> {
        Ok(parse_records(&split_records(body, MAX_KEPT_RECORDS)?, embedded))
    }

    #[test]
    fn body_with_more_records_than_allowed_is_rejected() {
        let body = format!("{{\"records\":[{}]}}", ["{\"value\":1}"; 3].join(","));
        assert_eq!(split_records(body.as_bytes(), 3).unwrap().len(), 3);
        let refused = split_records(body.as_bytes(), 2).unwrap_err();
        assert_eq!(refused.status.as_u16(), 413);
    }

    #[test]
    fn error_of_a_record_quotes_only_its_start() {
        let body = format!("{{\"records\":[{{\"value\":1,\"partition\":\"{}\"}}]}}", "x".repeat(100_000));
        let message = parse_body(body.as_bytes(), EmbeddedFormat::Json).unwrap().remove(0).unwrap_err();
        assert!(message.len() < 300, "{} bytes", message.len());
    }

    fn expected_record(
        key: Option<&str>,
        value: Option<&str>,
        partition: Option<i32>,
    ) -> Result<OutgoingRecord, String> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Ok(OutgoingRecord { key: key.map(bytes), value: value.map(bytes), partition })
    }

    #[test]
    fn json_values_keep_their_text() {
        let body = br#"{"records":[{"value": {"ind": 1.50, "a":"\u00e9"}}, {"key":"k","value":"text","partition":2}, {"value":null}]}"#;
        let wanted = vec![
            expected_record(None, Some(r#"{"ind":1.50,"a":"\u00e9"}"#), None),
            expected_record(Some("\"k\""), Some("\"text\""), Some(2)),
            expected_record(None, None, None),
        ];
        assert_eq!(parse_body(body, EmbeddedFormat::Json).unwrap(), wanted);
    }

    #[test]
    fn invalid_record_does_not_affect_others() {
        let body = br#"{"records":[{"value":"eyJhIjoxfQ=="},{"value":"!"},{"value":{}},{"valeu":"eA=="},7,{"key":"eA=="},{"value":"eA==","partition":"x"}]}"#;
        let records = parse_body(body, EmbeddedFormat::Binary).unwrap();
        assert_eq!(records[0], expected_record(None, Some("{\"a\":1}"), None));
        for (at, why) in
            [(1, "not base64"), (2, "base64 is expected"), (3, "valeu"), (4, "7"), (5, "no value"), (6, "x")]
        {
            let message = records[at].as_ref().unwrap_err();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn invalid_body_is_rejected_with_the_matching_status() {
        let status = |body: &str| parse_body(body.as_bytes(), EmbeddedFormat::Json).unwrap_err().status.as_u16();
        for unreadable in ["", "{", "{\"records\":[}", "\u{0}"] {
            assert_eq!(status(unreadable), 400, "{unreadable}");
        }
        for other in
            ["{}", "[]", "7", "{\"records\":null}", "{\"records\":[]}", "{\"records\":{}}", "{\"record\":[{}]}"]
        {
            assert_eq!(status(other), 422, "{other}");
        }
        let nothing = br#"{"key_schema":"x","value_schema_id":7,"records":[{"value":1}]}"#;
        assert_eq!(parse_body(nothing, EmbeddedFormat::Json).unwrap().len(), 1);
    }

    #[test]
    fn content_type_selects_the_embedded_format() {
        let of = |text: &str| parse_embedded_format(Some(text)).ok();
        assert_eq!(of("application/vnd.kafka.json.v2+json"), Some(EmbeddedFormat::Json));
        assert_eq!(of("Application/vnd.kafka.JSON.v2+json; charset=utf-8"), Some(EmbeddedFormat::Json));
        assert_eq!(of("application/vnd.kafka.binary.v2+json"), Some(EmbeddedFormat::Binary));
        assert_eq!(of("application/json"), Some(EmbeddedFormat::Binary));
        for unknown in ["application/vnd.kafka.avro.v2+json", "text/plain", ""] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
        assert!(parse_embedded_format(None).is_err());
    }

    proptest! {
        #[test]
        fn any_body_is_parsed_or_rejected(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("{\"records\":[".to_owned()), Just("{\"value\":".to_owned()), Just("\"key\":".to_owned()),
                    Just("\"partition\":".to_owned()), Just("]}".to_owned()), Just("},".to_owned()), ".{0,4}",
                    "[\\[\\]{}\",:0-9a-z\\\\]{0,6}",
                ],
                0..12,
            )
        ) {
            let body = parts.concat();
            for embedded in [EmbeddedFormat::Json, EmbeddedFormat::Binary] {
                // As many results as records, or an error.
                if let Ok(records) = parse_body(body.as_bytes(), embedded) {
                    let read: serde_json::Value = serde_json::from_str(&body).unwrap();
                    prop_assert_eq!(read["records"].as_array().unwrap().len(), records.len());
                }
            }
        }
    }
}
