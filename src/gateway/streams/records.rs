//! Records of a request to a stream, as the mapping templates of Amazon's tutorial ("Create a REST API as an Amazon
//! Kinesis proxy") and those of the original system have them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::Fault;
use crate::gateway::json::compact;
use crate::kinesis::Put;

/// Records of one call; Kinesis takes no more.
pub(super) const RECORDS_MAX: usize = 500;

/// The body of `PUT /streams/‹name›/record`, and a record of `/records`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(default, rename = "StreamName", alias = "stream-name", alias = "streamName")]
    stream: Option<String>,
    #[serde(borrow, rename = "Data", alias = "data")]
    data: &'a RawValue,
    #[serde(rename = "PartitionKey", alias = "partition-key", alias = "partitionKey", alias = "partition_key")]
    key: String,
}

/// The body of `PUT /streams/‹name›/records`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many<'a> {
    #[serde(default, rename = "StreamName", alias = "stream-name", alias = "streamName")]
    stream: Option<String>,
    #[serde(borrow, rename = "Records", alias = "records")]
    records: Vec<&'a RawValue>,
}

/// The record of a body. Its bytes are the JSON text of `Data`, a text in its quotes, as `$input.json('$.Data')` has it.
///
/// # Errors
/// If the body is none.
pub(super) fn one(body: &[u8], stream: &str) -> Result<Put, Fault> {
    let written: Written<'_> = serde_json::from_slice(body).map_err(|error| misread(&error))?;
    of_stream(written.stream.as_deref(), stream).map_err(Fault::invalid)?;
    let data = compact(written.data.get());
    put(written.key, data).map_err(Fault::invalid)
}

/// The records of a body, each on its own. The bytes of one whose data is a text are that text, as `$elem.data` has it;
/// of any other its JSON text.
///
/// # Errors
/// If the body is none.
pub(super) fn many(body: &[u8], stream: &str) -> Result<Vec<Result<Put, String>>, Fault> {
    let many: Many<'_> = serde_json::from_slice(body).map_err(|error| misread(&error))?;
    of_stream(many.stream.as_deref(), stream).map_err(Fault::invalid)?;
    if many.records.is_empty() || many.records.len() > RECORDS_MAX {
        return Err(Fault::invalid(format!("1 to {RECORDS_MAX} records are taken, not {}", many.records.len())));
    }
    Ok(many.records.into_iter().map(|record| element(record, stream)).collect())
}

fn element(record: &RawValue, stream: &str) -> Result<Put, String> {
    let written: Written<'_> = serde_json::from_str(record.get()).map_err(|error| error.to_string())?;
    of_stream(written.stream.as_deref(), stream)?;
    let data = match serde_json::from_str::<String>(written.data.get()) {
        Ok(text) => text.into_bytes(),
        Err(_) => compact(written.data.get()),
    };
    put(written.key, data)
}

fn put(key: String, data: Vec<u8>) -> Result<Put, String> {
    if !(1..=256).contains(&key.chars().count()) {
        return Err("PartitionKey must have 1 to 256 characters".to_owned());
    }
    Ok(Put { key, data })
}

/// A body may say whose it is, but not that it is another's.
fn of_stream(said: Option<&str>, stream: &str) -> Result<(), String> {
    match said.filter(|said| *said != stream) {
        None => Ok(()),
        Some(said) => Err(format!("StreamName is {said}, the path says {stream}")),
    }
}

fn misread(error: &serde_json::Error) -> Fault {
    match error.classify() {
        serde_json::error::Category::Data => Fault::invalid(error.to_string()),
        _ => Fault::unreadable(format!("the body is not JSON: {error}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(key: &str, data: &str) -> Put {
        Put { key: key.to_owned(), data: data.as_bytes().to_vec() }
    }

    #[test]
    fn data_is_the_json_that_it_is_written_as() {
        let body = br#"{"StreamName": "s", "Data": {"ind": 7, "a": 1.0}, "PartitionKey": "k"}"#;
        assert_eq!(one(body, "s").unwrap(), of("k", r#"{"ind":7,"a":1.0}"#));
        let text = br#"{"Data":"{\"ind\":7}","PartitionKey":"k"}"#;
        assert_eq!(one(text, "s").unwrap(), of("k", r#""{\"ind\":7}""#));
        assert_eq!(
            many(br#"{"records":[{"data":"{\"ind\":7}","partition-key":"k"}]}"#, "s").unwrap(),
            [Ok(of("k", "{\"ind\":7}"))]
        );
    }

    #[test]
    fn a_bad_record_stands_alone() {
        let body = br#"{"Records":[{"Data":{"a":1},"PartitionKey":"k"},{"Data":1},{"Data":1,"PartitionKey":""},{"Dat":1,"PartitionKey":"k"},7,{"StreamName":"other","Data":1,"PartitionKey":"k"}]}"#;
        let records = many(body, "s").unwrap();
        assert_eq!(records[0], Ok(of("k", r#"{"a":1}"#)));
        for (at, why) in [(1, "PartitionKey"), (2, "256"), (3, "Dat"), (4, "7"), (5, "other")] {
            assert!(records[at].as_ref().unwrap_err().contains(why), "{:?}", records[at]);
        }
    }

    #[test]
    fn a_body_that_is_none_says_why() {
        let kind =
            |body: &str| (one(body.as_bytes(), "s").unwrap_err().kind, many(body.as_bytes(), "s").unwrap_err().kind);
        assert_eq!(kind("{"), ("SerializationException", "SerializationException"));
        assert_eq!(kind("{}"), ("ValidationException", "ValidationException"));
        assert_eq!(kind("[1]"), ("ValidationException", "ValidationException"));
        assert_eq!(many(br#"{"records":[]}"#, "s").unwrap_err().kind, "ValidationException");
        let wrong = br#"{"StreamName":"other","Data":1,"PartitionKey":"k"}"#;
        assert!(one(wrong, "s").unwrap_err().message.contains("other"));
        let much = format!("{{\"records\":[{}]}}", vec!["1"; RECORDS_MAX + 1].join(","));
        assert!(many(much.as_bytes(), "s").unwrap_err().message.contains("501"));
    }
}
