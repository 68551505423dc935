//! Records of a request to the REST proxy: `{"records":[{"key":…,"value":…,"partition":…}]}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::TopicsApiError;
use crate::gateway::error::GatewayError;
use crate::gateway::json_text::{strip_whitespace, truncate_message};
use crate::kafka::OutgoingRecord;

/// How keys and values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EmbeddedFormat {
    /// As JSON; what is stored is the JSON text.
    Json,
    /// As bytes in base64.
    Binary,
}

/// Reads how records are written from a content type: `application/vnd.kafka.json.v2+json`.
pub(super) fn parse_embedded_format(content_type: Option<&str>) -> Result<EmbeddedFormat, TopicsApiError> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/vnd.kafka.json.v2+json" | "application/vnd.kafka.json+json" => Ok(EmbeddedFormat::Json),
        // Without a word on them records are bytes, as the proxy has it.
        "application/vnd.kafka.binary.v2+json"
        | "application/vnd.kafka.binary+json"
        | "application/vnd.kafka.v2+json"
        | "application/vnd.kafka+json"
        | "application/json" => Ok(EmbeddedFormat::Binary),
        _ => Err(TopicsApiError::unsupported_type()),
    }
}

/// The body of a request. Schemas are of no use to records that have none, and are passed over as the proxy does.
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

/// No configuration allows more records; what is behind them is counted and not kept.
const MAX_KEPT_RECORDS: usize = 100_000;

/// The records of a body as they stand in it.
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

/// Tells `null` from what is not there.
fn explicit_null<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Option<&'a RawValue>>, D::Error> {
    Option::<&'a RawValue>::deserialize(from).map(Some)
}

/// The records of a body as they stand in it: 1 to `records_max`.
///
/// # Errors
/// If the body is none, or has more.
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

/// Reads records, each on its own: one that cannot be read says why, and the others stand.
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
                "a text in base64 is wanted; for JSON send application/vnd.kafka.json.v2+json".to_owned()
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
    fn body_with_more_records_than_allowed_is_refused_whole() {
        let body = format!("{{\"records\":[{}]}}", ["{\"value\":1}"; 3].join(","));
        assert_eq!(split_records(body.as_bytes(), 3).unwrap().len(), 3);
        let refused = split_records(body.as_bytes(), 2).unwrap_err();
        assert_eq!(refused.status.as_u16(), 413);
    }

    #[test]
    fn words_on_a_record_quote_no_more_than_its_head() {
        let body = format!("{{\"records\":[{{\"value\":1,\"partition\":\"{}\"}}]}}", "x".repeat(100_000));
        let said = parse_body(body.as_bytes(), EmbeddedFormat::Json).unwrap().remove(0).unwrap_err();
        assert!(said.len() < 300, "{} bytes", said.len());
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
    fn json_is_taken_as_it_was_written() {
        let body = br#"{"records":[{"value": {"ind": 1.50, "a":"\u00e9"}}, {"key":"k","value":"text","partition":2}, {"value":null}]}"#;
        let wanted = vec![
            expected_record(None, Some(r#"{"ind":1.50,"a":"\u00e9"}"#), None),
            expected_record(Some("\"k\""), Some("\"text\""), Some(2)),
            expected_record(None, None, None),
        ];
        assert_eq!(parse_body(body, EmbeddedFormat::Json).unwrap(), wanted);
    }

    #[test]
    fn a_bad_record_stands_alone() {
        let body = br#"{"records":[{"value":"eyJhIjoxfQ=="},{"value":"!"},{"value":{}},{"valeu":"eA=="},7,{"key":"eA=="},{"value":"eA==","partition":"x"}]}"#;
        let records = parse_body(body, EmbeddedFormat::Binary).unwrap();
        assert_eq!(records[0], expected_record(None, Some("{\"a\":1}"), None));
        for (at, why) in [(1, "not base64"), (2, "base64 is wanted"), (3, "valeu"), (4, "7"), (5, "no value"), (6, "x")]
        {
            let said = records[at].as_ref().unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_body_that_is_none_says_why() {
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
    fn types_are_told_apart() {
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
        fn whatever_comes_is_read_or_refused(
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
                // As many outcomes as records, or a word on why there are none.
                if let Ok(records) = parse_body(body.as_bytes(), embedded) {
                    let read: serde_json::Value = serde_json::from_str(&body).unwrap();
                    prop_assert_eq!(read["records"].as_array().unwrap().len(), records.len());
                }
            }
        }
    }
}
